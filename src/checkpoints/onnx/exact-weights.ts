import { UserError } from "../../errors.ts";
import { elementsOf, float32 } from "../../graph/tensor.ts";
import { computedTensor } from "./computed-tensor.ts";
import type { Network, NetworkNode, NetworkTensor, NodeAttribute } from "./network.ts";
import { Wiring } from "./wiring.ts";

/**
 * Replaces quantised weights by the real numbers that they represent, and removes the rounding of activations: no
 * gradient passes through either.
 * @throws UserError if weights are stored in an unknown way
 */
export function withExactWeights(network: Network): Network {
  const { location } = network;
  const tensors = new Map(network.tensors);
  const wiring = new Wiring(network);
  const nodes = network.nodes.flatMap((node): NetworkNode[] => {
    const rule = Object.hasOwn(RULES, node.op) ? RULES[node.op] : undefined;
    return rule?.(node, { wiring, tensors, location }) ?? [node];
  });
  return { ...network, nodes, tensors };
}

interface Weights {
  wiring: Wiring;
  /** The rules add dequantised tensors. */
  tensors: Map<string, NetworkTensor>;
  location: string;
}

/** Returns the replacement of a node, or undefined to keep it. */
type Rule = (node: NetworkNode, weights: Weights) => NetworkNode[] | undefined;

const RULES: Readonly<Record<string, Rule>> = {
  Mul: integerProduct,
  DequantizeLinear: dequantized,
  "com.microsoft.MatMulNBits": blockProduct,
};

const plainName = (name: string): string => name.replace(/_(quantized|Q4|Q8|Q4G\d+)$/, "");

/**
 * `x W`, which dynamic quantisation exports as an integer product, cast and multiplied by both scales (onnxruntime's
 * `quantize_dynamic`).
 */
function integerProduct(node: NetworkNode, { wiring, tensors }: Weights): NetworkNode[] | undefined {
  const [a, b] = node.inputs.map((input) => wiring.maker(input));
  const [cast, scales] = a?.op === "Cast" ? [a, b] : [b, a];
  const integer = wiring.maker(cast?.inputs[0]);
  if (cast?.op !== "Cast" || integer?.op !== "MatMulInteger" || scales?.op !== "Mul") return undefined;
  const [x, stored = "", , zero = ""] = integer.inputs;
  const rounds = wiring.maker(x);
  const scale = scales.inputs.find((input) => tensors.has(input));
  const matrix = tensors.get(stored);
  if (rounds?.op !== "DynamicQuantizeLinear" || !matrix || scale === undefined) return undefined;
  const weight = plainName(stored);
  const exact = scaled(matrix, tensors.get(scale)!, tensors.get(zero), { axis: 1 });
  if (!exact) return undefined;
  tensors.set(weight, exact);
  const name = integer.name.replace(/_quant$/, "");
  return [{ ...node, op: "MatMul", name, inputs: [rounds.inputs[0]!, weight], attributes: {}, module: integer.module }];
}

/** Replaces a dequantisation: of a weight, of rows looked up in one, or of activations that were quantised before. */
function dequantized(node: NetworkNode, { wiring, tensors }: Weights): NetworkNode[] | undefined {
  const [stored = "", scale = "", zero = ""] = node.inputs;
  const maker = wiring.maker(stored);
  const factor = tensors.get(scale);
  if (!factor) return undefined;
  const { axis = 1, block_size = 0 } = node.attributes;
  const own = tensors.get(stored);
  if (own) {
    const exact = scaled(own, factor, tensors.get(zero), { axis: Number(axis), block: Number(block_size) });
    if (!exact) return undefined;
    tensors.set(node.outputs[0]!, exact);
    return [];
  }
  if (maker?.op === "QuantizeLinear") return [{ ...node, op: "Identity", inputs: [maker.inputs[0]!], attributes: {} }];
  const table = maker?.op === "Gather" ? tensors.get(maker.inputs[0]!) : undefined;
  if (!table || elementsOf(factor.shape) !== 1) return undefined;
  const weight = plainName(maker!.inputs[0]!);
  const exact = scaled(table, factor, tensors.get(zero), {});
  if (!exact) return undefined;
  tensors.set(weight, exact);
  return [{ ...maker!, inputs: [weight, maker!.inputs[1]!], outputs: node.outputs }];
}

/** `(stored - zero) · scale`, with one scale, one for each index of an axis, or one for each block of it. */
function scaled(
  stored: NetworkTensor,
  scale: NetworkTensor,
  zero: NetworkTensor | undefined,
  { axis = 0, block = 0 }: { axis?: number; block?: number },
): NetworkTensor | undefined {
  const { shape } = stored;
  return computedTensor(shape, zero ? [stored, scale, zero] : [stored, scale], (read) => {
    const [values, scales, zeros] = read.map(({ data }) => data) as [Float32Array, Float32Array, Float32Array?];
    const at = axis < 0 ? axis + shape.length : axis;
    const size = shape[at] ?? 1;
    const inner = elementsOf(shape.slice(at + 1));
    const blocks = block > 0 ? Math.ceil(size / block) : size;
    for (let i = 0; i < values.length; i++) {
      const place = Math.floor(i / inner) % size;
      const own =
        block > 0
          ? (Math.floor(i / (inner * size)) * blocks + Math.floor(place / block)) * inner + (i % inner)
          : scales.length === 1
            ? 0
            : place;
      values[i] = (values[i]! - (zeros ? zeros[zeros.length === 1 ? 0 : own]! : 0)) * scales[own]!;
    }
    return float32(shape, values);
  });
}

/** Returns a numeric attribute, or `otherwise`. */
const numberOf = (value: NodeAttribute | undefined, otherwise: number): number =>
  typeof value === "number" ? value : otherwise;

/**
 * `x W`, with a matrix in blocks of 4 or 8 bits
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits).
 */
function blockProduct(node: NetworkNode, { tensors, location }: Weights): NetworkNode[] {
  const [x = "", stored = "", scale = "", zero = "", order = "", bias = ""] = node.inputs;
  const { K, N, bits: ofBits, block_size } = node.attributes;
  const [rows, columns, bits, block] = [numberOf(N, 0), numberOf(K, 0), numberOf(ofBits, 4), numberOf(block_size, 32)];
  const [packed, scales, zeros] = [tensors.get(stored), tensors.get(scale), tensors.get(zero)];
  const perRow = Math.ceil(columns / block);
  const fits =
    packed &&
    scales &&
    elementsOf(packed.shape) === (rows * perRow * block * bits) / 8 &&
    elementsOf(scales.shape) === rows * perRow;
  const zerosFit =
    zero === "" || (zeros?.dtype === "U8" && elementsOf(zeros.shape) === rows * Math.ceil((perRow * bits) / 8));
  const refuse = (): never => {
    throw new UserError(
      `${location}: node "${node.name}" keeps a weight [${rows}, ${columns}] of ${bits} bits in a way that is not supported; take the model in float32`,
    );
  };
  if (!fits || !zerosFit || (bits !== 4 && bits !== 8) || order !== "") return refuse();
  const numbers = (bytes: Float32Array, i: number, perLine: number, lineBytes: number): number => {
    if (bits === 8) return bytes[i]!;
    const byte = bytes[Math.floor(i / perLine) * lineBytes + Math.floor((i % perLine) / 2)]!;
    return (i % perLine) % 2 === 0 ? byte & 15 : byte >> 4;
  };
  const weight = plainName(stored);
  const exact = computedTensor([columns, rows], zeros ? [packed, scales, zeros] : [packed, scales], (read) => {
    const [values, factors, middles] = read.map(({ data }) => data) as [Float32Array, Float32Array, Float32Array?];
    const matrix = float32([columns, rows]);
    const zeroBytes = Math.ceil((perRow * bits) / 8);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const group = row * perRow + Math.floor(column / block);
        const value = numbers(values, group * block + (column % block), block, (block * bits) / 8);
        const middle = middles ? numbers(middles, group, perRow, zeroBytes) : 2 ** (bits - 1);
        matrix.data[column * rows + row] = (value - middle) * factors[group]!;
      }
    }
    return matrix;
  });
  tensors.set(weight, exact ?? refuse());
  const name = node.name.replace(/_Q\d+\w*$/, "");
  const product = bias === "" ? node.outputs : [`${node.outputs[0]}:product`];
  const result = { op: "MatMul", name, inputs: [x, weight], outputs: product, attributes: {}, module: node.module };
  if (bias === "") return [result];
  return [
    result,
    { op: "Add", name: `${name}/Add`, inputs: [product[0]!, bias], outputs: node.outputs, attributes: {} },
  ];
}
