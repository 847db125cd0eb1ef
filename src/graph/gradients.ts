import { type Shape, sameShape } from "./dimension.ts";
import { liveNodes, type Op, type Value } from "./graph.ts";
import { add, after, joinThinProducts, reduceSum, reshape } from "./ops.ts";

/**
 * Appends the backward pass: the gradient of a scalar `loss` with respect to each of `wrt`, of the same shape. Only
 * paths from `wrt` to the loss count. Nodes off these paths are unused and dropped, so frozen parameters cost nothing.
 * @param sums values of the shapes of `wrt`, to which the gradients are added; free of cost if the sum is a product
 * @throws Error if the loss is not a scalar or does not depend on one of `wrt`.
 */
export function gradients(loss: Value, wrt: readonly Value[], sums?: readonly Value[]): Value[] {
  if (loss.shape.length !== 0) throw new Error(`the loss must be a scalar, not [${loss.shape.join(", ")}]`);
  const { graph } = loss;
  return graph.within({ pass: "backward" }, () => {
    const contributions = pullBack(loss, graph.constant([1], loss.dtype), wrt);
    return wrt.map((value, i) => {
      const own = contributions.get(value);
      if (!own) throw new Error(`the loss does not depend on "${value.label}"`);
      return total([...(sums ? [sums[i]!] : []), ...own])!;
    });
  });
}

/**
 * Returns the gradients of values between `wrt` and `y`, given that of `y`. Each is a list whose sum is the gradient.
 * @param given values at which the walk from `y` stops
 */
function pullBack(
  y: Value,
  dy: Value,
  wrt: readonly Value[],
  given?: ReadonlySet<Value>,
): ReadonlyMap<Value, readonly Value[]> {
  const { graph } = y;
  const forward = liveNodes([y], given);
  const reaches = new Set<Value>(wrt);
  for (const { op, inputs, outputs } of forward) {
    if (op.gradient && inputs.some((input) => reaches.has(input))) for (const output of outputs) reaches.add(output);
  }

  const contributions = new Map<Value, Value[]>([[y, [dy]]]);
  for (const node of forward.reverse()) {
    const [result, ...others] = node.outputs;
    if (others.some((output) => contributions.has(output))) {
      throw new Error(`${node.op.name}: outputs after the first are for its own gradient rule only`);
    }
    const gradient = reaches.has(result!) ? total(contributions.get(result!) ?? []) : undefined;
    if (!gradient) continue;
    graph.within({ part: node.provenance.part }, () => {
      const results = node.op.gradient!(node, gradient);
      node.inputs.forEach((input, i) => {
        const own = results[i];
        if (!own || !reaches.has(input)) return;
        const list = contributions.get(input) ?? [];
        contributions.set(input, [...list, sumTo(own, input.shape)]);
      });
    });
  }
  return contributions;
}

/**
 * Applies `write` to `x` with gradient checkpointing (Chen et al., arXiv 1604.06174). The backward pass keeps only `x`:
 * it applies `write` to `x` again, after the gradient of the result is known.
 * @param write must write the same nodes at every call, and return a value of the shape of `x`
 */
export function recompute(x: Value, write: (x: Value) => Value): Value {
  const { graph } = x;
  const before = graph.valueCount;
  const y = write(x);
  const captured = capturedBy(y, x, before);
  const op: Op = {
    name: "Recompute",
    view: true,
    infer: ([value]) => [{ dtype: value!.dtype, shape: value!.shape }],
    onnx: ({ inputs: [value], outputs }, emitter) => void emitter.emit("Identity", [value!], { outputs }),
    gradient(_node, dy) {
      const again = after(x, dy);
      const wrt = [again, ...captured];
      const contributions = pullBack(write(again), dy, wrt, new Set(wrt));
      return [undefined, ...wrt.map((value) => total(contributions.get(value) ?? []))];
    },
    // Recomputing rows of the last block would save no memory: its backward pass comes first.
    rows: ({ inputs: [value] }, rowsOf) => rowsOf(value!),
  };
  return graph.apply(op, [y, x, ...captured], {});
}

/** Returns values, leaves included, that `y` reads on the way from `x` and that are older than the id `before`. */
function capturedBy(y: Value, x: Value, before: number): Value[] {
  const captured = new Set<Value>();
  const seen = new Set<Value>([x]);
  const stack = [y];
  for (let value = stack.pop(); value; value = stack.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (value.leaf || value.id < before) captured.add(value);
    else stack.push(...value.node!.inputs);
  }
  // Frozen weights and constants receive no gradient.
  return [...captured].filter(({ leaf }) => !leaf || leaf.kind === "trainable" || leaf.kind === "input");
}

function sumTo(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dimension, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dimension !== 1) ? [axis] : [],
  );
  return reshape(reduceSum(gradient, axes, true), shape);
}

/** Sums contributions. An op that accumulates takes the sum so far as its addend, which costs nothing. */
function total(values: readonly Value[]): Value | undefined {
  const { product, others } = joinThinProducts(values);
  const products = others.filter(({ node }) => node?.op.accumulate);
  const [first, ...rest] = [...others.filter((value) => !products.includes(value)), ...products];
  const sum = rest.reduce((sum, value) => sum && (accumulateInto(sum, value) ?? add(sum, value)), first);
  return product && sum ? accumulateInto(sum, product) : (product ?? sum);
}

/** Adds `addend` to a product. Keeps the product's provenance. */
function accumulateInto(addend: Value, { graph, node }: Value): Value | undefined {
  return node && graph.within(node.provenance, () => node.op.accumulate?.(node, addend));
}
