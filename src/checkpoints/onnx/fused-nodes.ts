import type { Network, NetworkNode } from "./network.ts";
import { Wiring } from "./wiring.ts";

/**
 * Replaces layer norms and GELUs that older exporters spell out by one node each, because these nodes and their
 * gradients are faster.
 */
export function withFusedNodes(network: Network): Network {
  const wiring = new Wiring(network);
  return {
    ...network,
    nodes: network.nodes.map((node) => layerNorm(node, network, wiring) ?? gelu(node, wiring) ?? node),
  };
}

/** `(x - mean) / sqrt(mean((x - mean)²) + epsilon) · scale + bias` */
function layerNorm(node: NetworkNode, network: Network, wiring: Wiring): NetworkNode | undefined {
  const shift = vectorOperand(node, "Add", network);
  const scale = shift && vectorOperand(wiring.maker(shift.value), "Mul", network);
  const divided = scale && wiring.maker(scale.value);
  if (divided?.op !== "Div") return undefined;
  const centred = wiring.maker(divided.inputs[0]);
  const root = wiring.maker(divided.inputs[1]);
  const sum = root?.op === "Sqrt" ? wiring.maker(root.inputs[0]) : undefined;
  const epsilon = sum?.op === "Add" ? wiring.withScalar(sum) : undefined;
  const variance = meanOf(epsilon && wiring.maker(epsilon.value), network);
  const square = wiring.maker(variance);
  const isSquare =
    (square?.op === "Pow" && wiring.scalar(square.inputs[1]) === 2) ||
    (square?.op === "Mul" && square.inputs[0] === square.inputs[1]);
  const [x, mean] = centred?.op === "Sub" ? centred.inputs : [];
  const again = isSquare ? wiring.maker(square!.inputs[0]) : undefined;
  const fits = again?.op === "Sub" && again.inputs.join() === centred?.inputs.join();
  if (!fits || x === undefined || meanOf(wiring.maker(mean), network) !== x) return undefined;
  return {
    ...node,
    op: "LayerNormalization",
    inputs: [x, scale!.tensor, shift!.tensor],
    attributes: { axis: -1, epsilon: epsilon!.number },
  };
}

/** Splits the inputs into a one-dimensional tensor of the file and the other value. */
function vectorOperand(
  node: NetworkNode | undefined,
  op: string,
  { tensors }: Network,
): { value: string; tensor: string } | undefined {
  if (node?.op !== op) return undefined;
  const tensor = node.inputs.find((input) => tensors.get(input)?.shape.length === 1);
  const value = node.inputs.find((input) => !tensors.has(input));
  return tensor !== undefined && value !== undefined ? { value, tensor } : undefined;
}

/** Returns the input of a mean over the last axis. */
function meanOf(node: NetworkNode | undefined, { tensors }: Network): string | undefined {
  if (node?.op !== "ReduceMean") return undefined;
  const axes = node.attributes.axes ?? tensors.get(node.inputs[1] ?? "")?.values;
  return String(axes) === "-1" && node.attributes.keepdims !== 0 ? node.inputs[0] : undefined;
}

/** `x · 0.5 · (1 + erf(x / √2))`, in any order. */
function gelu(node: NetworkNode, wiring: Wiring): NetworkNode | undefined {
  if (node.op !== "Mul") return undefined;
  const factors = node.inputs.flatMap((input) => {
    const maker = wiring.maker(input);
    return maker?.op === "Mul" ? maker.inputs : [input];
  });
  const half = factors.find((factor) => wiring.scalar(factor) === 0.5);
  const values = factors.filter((factor) => factor !== half);
  if (half === undefined || values.length !== 2) return undefined;
  for (const [x, other] of [values, values.toReversed()] as [string, string][]) {
    const sum = wiring.maker(other);
    const one = sum?.op === "Add" ? wiring.withScalar(sum) : undefined;
    const erf = one?.number === 1 ? wiring.maker(one.value) : undefined;
    const scaled = erf?.op === "Erf" ? wiring.maker(erf.inputs[0]) : undefined;
    const by = scaled && wiring.withScalar(scaled);
    const factor = scaled?.op === "Div" ? Math.SQRT2 : scaled?.op === "Mul" ? Math.SQRT1_2 : Number.NaN;
    if (by?.value === x && Math.abs(by.number - factor) < 1e-6) {
      return { ...node, op: "Gelu", inputs: [x], attributes: {} };
    }
  }
  return undefined;
}
