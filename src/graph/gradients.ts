import type { Graph, GraphNode, Value } from "./graph.ts";
import { liveNodes } from "./graph.ts";
import { accumulateInto, add } from "./ops.ts";

/**
 * Appends the backward pass: the gradient of a scalar `loss` with respect to each of `wrt`, of the same shape.
 * Only paths from `wrt` to the loss get nodes: what is frozen costs nothing.
 * @throws Error where the loss is not a scalar or does not depend on one of `wrt`.
 */
export function gradients(loss: Value, wrt: readonly Value[]): Value[] {
  if (loss.shape.length !== 0) throw new Error(`the loss must be a scalar, not [${loss.shape.join(", ")}]`);
  const graph: Graph = loss.graph;
  return graph.within({ pass: "backward" }, () => {
    const forward = liveNodes([loss]);
    const reaches = new Set<Value>(wrt);
    for (const node of forward) {
      if (node.op.gradient && node.inputs.some((input) => reaches.has(input))) {
        for (const output of node.outputs) reaches.add(output);
      }
    }

    const contributions = new Map<Value, Value[]>([[loss, [graph.constant([1], loss.dtype)]]]);
    const gradientOf = (value: Value): Value | undefined => sum(contributions.get(value) ?? []);
    for (const node of forward.reverse()) {
      const outputs = node.outputs.map((output) => (reaches.has(output) ? gradientOf(output) : undefined));
      if (outputs.every((gradient) => gradient === undefined)) continue;
      const needed = node.inputs.map((input) => reaches.has(input));
      const results = graph.within({ part: node.provenance.part }, () => applyRule(node, outputs, needed));
      results.forEach((gradient, i) => {
        if (!gradient) return;
        const input = node.inputs[i]!;
        const list = contributions.get(input);
        if (list) list.push(gradient);
        else contributions.set(input, [gradient]);
      });
    }
    return wrt.map((value) => {
      const gradient = gradientOf(value);
      if (!gradient) throw new Error(`the loss does not depend on "${value.label}"`);
      return gradient;
    });
  });
}

function applyRule(
  node: GraphNode,
  outputs: readonly (Value | undefined)[],
  needed: readonly boolean[],
): (Value | undefined)[] {
  return node.op.gradient!(node, outputs, needed).map((gradient, i) => (needed[i] ? gradient : undefined));
}

/** Sum of contributions; a product takes the sum so far as its addend, which costs nothing. */
function sum(values: readonly Value[]): Value | undefined {
  const products = values.filter((value) => value.node?.op.name === "Gemm");
  const [first, ...rest] = [...values.filter((value) => !products.includes(value)), ...products];
  return rest.reduce((total, value) => total && (accumulateInto(total, value) ?? add(total, value)), first);
}
