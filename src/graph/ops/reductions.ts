import type { Shape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, FLOATS, fail, requireType } from "./define.ts";
import { expand, reshape } from "./shape.ts";

const keepAxes = (shape: Shape, axes: readonly number[]): Shape =>
  shape.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension));

const REDUCE_SUM = define<[Value], { axes: readonly number[]; keepDimensions: boolean }>({
  name: "ReduceSum",
  infer(inputs, { axes, keepDimensions }) {
    requireType("ReduceSum", inputs, FLOATS);
    const [{ dtype, shape }] = inputs;
    if (axes.some((axis) => !(axis >= 0 && axis < shape.length))) {
      fail("ReduceSum", inputs, `has no axis ${axes.join(", ")}`);
    }
    return [{ dtype, shape: keepDimensions ? keepAxes(shape, axes) : shape.filter((_, axis) => !axes.includes(axis)) }];
  },
  onnx({ inputs: [x], attributes: { axes, keepDimensions }, outputs }, emitter) {
    const attributes = { keepdims: Number(keepDimensions) };
    emitter.emit("ReduceSum", [x, emitter.int64(axes)], { attributes, outputs });
  },
  gradient: ({ inputs: [{ shape }], attributes: { axes } }, dy) => [expand(reshape(dy, keepAxes(shape, axes)), shape)],
});

/** Sum over `axes`; negative ones count from the end. Without axes, returns `x`. */
export function reduceSum(x: Value, axes: readonly number[], keepDimensions = false): Value {
  if (axes.length === 0) return x;
  const positive = axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis));
  return x.graph.apply(REDUCE_SUM, [x], { axes: positive, keepDimensions });
}

/** Sum of all elements, shape `[]`. */
export const sumAll = (x: Value): Value =>
  reduceSum(
    x,
    x.shape.map((_, axis) => axis),
  );

const CUMULATIVE_SUM = define<[Value], { axis: number }>({
  name: "CumSum",
  infer(inputs, { axis }) {
    requireType("CumSum", inputs, FLOATS);
    const [{ dtype, shape }] = inputs;
    if (shape[axis] === undefined) fail("CumSum", inputs, `has no axis ${axis}`);
    return [{ dtype, shape }];
  },
  onnx({ inputs: [x], attributes: { axis }, outputs }, emitter) {
    emitter.emit("CumSum", [x, emitter.scalar("int64", axis)], { outputs });
  },
});

/** Cumulative sum along an axis; no gradient flows. */
export const cumulativeSum = (x: Value, axis: number): Value => x.graph.apply(CUMULATIVE_SUM, [x], { axis });
