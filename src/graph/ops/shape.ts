import { broadcast, product, type Shape, sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, eachRow, fail } from "./define.ts";
import { emitAs, emitReshape } from "./emit.ts";

const RESHAPE = define<[Value], { shape: Shape }>({
  name: "Reshape",
  view: true,
  infer(inputs, { shape }) {
    const [x] = inputs;
    if (product(x.shape) !== product(shape)) fail("Reshape", inputs, `cannot become ${showShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  onnx({ inputs: [x], attributes: { shape }, outputs }, emitter) {
    emitReshape(emitter, x, x.shape, shape, outputs);
  },
  gradient: ({ inputs: [x] }, dy) => [reshape(dy, x.shape)],
  rows({ inputs: [x], attributes: { shape } }, rowsOf, count) {
    return x.shape[0] === shape[0] ? reshape(rowsOf(x), shape.with(0, count)) : undefined;
  },
});

/** Changes the shape; elements keep their row-major order. */
export function reshape(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply(RESHAPE, [x], { shape });
}

const DETACH = define<[Value]>({
  name: "Detach",
  view: true,
  infer: ([{ dtype, shape }]) => [{ dtype, shape }],
  onnx: emitAs("Identity"),
  rows: eachRow,
});

/** Returns the same elements and stops the gradient. */
export const detach = (x: Value): Value => x.graph.apply(DETACH, [x], {});

const EXPAND = define<[Value], { shape: Shape }>({
  name: "Expand",
  infer(inputs, { shape }) {
    const [x] = inputs;
    if (!sameShape(broadcast(x.shape, shape) ?? [], shape)) fail("Expand", inputs, `cannot become ${showShape(shape)}`);
    return [{ dtype: x.dtype, shape }];
  },
  onnx({ inputs: [x], attributes: { shape }, outputs }, emitter) {
    emitter.emit("Expand", [x, emitter.shapeTensor(shape)], { outputs });
  },
  gradient: (_node, dy) => [dy],
});

/** Broadcasts to a shape. */
export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : x.graph.apply(EXPAND, [x], { shape });
}

const TRANSPOSE = define<[Value], { permutation: readonly number[] }>({
  name: "Transpose",
  infer(inputs, { permutation }) {
    const [x] = inputs;
    if (permutation.length !== x.shape.length || new Set(permutation).size !== permutation.length) {
      fail("Transpose", inputs, `[${permutation.join(", ")}] is not a permutation of its axes`);
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]!) }];
  },
  onnx: emitAs("Transpose", ({ permutation }) => ({ attributes: { perm: permutation } })),
  gradient: ({ attributes: { permutation } }, dy) => [
    transpose(
      dy,
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
  ],
});

/** Permutes axes: axis `i` of the result is axis `permutation[i]` of `x`. */
export function transpose(x: Value, permutation: readonly number[]): Value {
  return x.graph.apply(TRANSPOSE, [x], { permutation });
}
