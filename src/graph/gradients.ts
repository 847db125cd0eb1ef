import { type Shape, sameShape } from "./dimension.ts";
import { liveNodes, type Value } from "./graph.ts";
import { add, reduceSum, reshape } from "./ops.ts";

/**
 * Appends the backward pass: the gradient of a scalar `loss` with respect to each of `wrt`, of the same shape.
 * Only paths from `wrt` to the loss count: what rules write beside them is read by nobody and dropped, so what is
 * frozen costs nothing.
 * @param sums of the shapes of `wrt`, what the gradients are added to; to one that is a product at no cost
 * @throws Error where the loss is not a scalar or does not depend on one of `wrt`.
 */
export function gradients(loss: Value, wrt: readonly Value[], sums?: readonly Value[]): Value[] {
  if (loss.shape.length !== 0) throw new Error(`the loss must be a scalar, not [${loss.shape.join(", ")}]`);
  const { graph } = loss;
  return graph.within({ pass: "backward" }, () => {
    const forward = liveNodes([loss]);
    const reaches = new Set<Value>(wrt);
    for (const { op, inputs, outputs } of forward) {
      if (op.gradient && inputs.some((input) => reaches.has(input))) for (const output of outputs) reaches.add(output);
    }

    const contributions = new Map<Value, Value[]>([[loss, [graph.constant([1], loss.dtype)]]]);
    const gradientOf = (value: Value): Value | undefined => total(contributions.get(value) ?? []);
    for (const node of forward.reverse()) {
      const [result, ...others] = node.outputs;
      if (others.some((output) => contributions.has(output))) {
        throw new Error(`${node.op.name}: outputs after the first are for its own gradient rule only`);
      }
      const dy = reaches.has(result!) ? gradientOf(result!) : undefined;
      if (!dy) continue;
      graph.within({ part: node.provenance.part }, () => {
        const results = node.op.gradient!(node, dy);
        node.inputs.forEach((input, i) => {
          const gradient = results[i];
          if (!gradient || !reaches.has(input)) return;
          const list = contributions.get(input) ?? [];
          contributions.set(input, [...list, sumTo(gradient, input.shape)]);
        });
      });
    }
    return wrt.map((value, i) => {
      const own = contributions.get(value);
      if (!own) throw new Error(`the loss does not depend on "${value.label}"`);
      return total([...(sums ? [sums[i]!] : []), ...own])!;
    });
  });
}

/** Undoes broadcasting: a gradient is summed over the axes along which its value was broadcast. */
function sumTo(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dimension, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dimension !== 1) ? [axis] : [],
  );
  return reshape(reduceSum(gradient, axes, true), shape);
}

/** Sum of contributions; an op that accumulates takes the sum so far as its addend, which costs nothing. */
function total(values: readonly Value[]): Value | undefined {
  const products = values.filter(({ node }) => node?.op.accumulate);
  const [first, ...rest] = [...values.filter((value) => !products.includes(value)), ...products];
  return rest.reduce((sum, value) => sum && (accumulateInto(sum, value) ?? add(sum, value)), first);
}

/** Provenance stays that of `value`: it is the same product. */
function accumulateInto(addend: Value, { graph, node }: Value): Value | undefined {
  return node && graph.within(node.provenance, () => node.op.accumulate?.(node, addend));
}
