import { type Dimension, difference, sameShape, sum } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, eachRow, fail } from "./define.ts";
import { emitAs } from "./emit.ts";

const unlessAlongRows: typeof eachRow = (node, ...rest) =>
  node.attributes.axis === 0 ? undefined : eachRow(node, ...rest);

const CONCAT = define<readonly Value[], { axis: number }>({
  name: "Concat",
  infer(inputs, { axis }) {
    const { dtype, shape: like } = inputs[0]!;
    const fits = inputs.every(
      (input) =>
        input.dtype === dtype &&
        input.shape.length === like.length &&
        input.shape.every((size, i) => i === axis || size === like[i]),
    );
    if (!fits || like[axis] === undefined) fail("Concat", inputs, `must agree except on axis ${axis}`);
    return [{ dtype, shape: like.with(axis, sum(inputs.map(({ shape }) => shape[axis]!))) }];
  },
  onnx: emitAs("Concat", ({ axis }) => ({ attributes: { axis } })),
  gradient({ inputs, attributes: { axis } }, dy) {
    let start: Dimension = 0;
    return inputs.map(({ shape }) => {
      const part = sliceSize(dy, axis, start, shape[axis]!);
      start = sum([start, shape[axis]!]);
      return part;
    });
  },
  rows: unlessAlongRows,
});

/** Concatenates values along an axis. */
export function concat(values: readonly Value[], axis: number): Value {
  return values[0]!.graph.apply(CONCAT, values, { axis });
}

type Part = { axis: number; start: Dimension; size: Dimension };

const SLICE = define<[Value], Part>({
  name: "Slice",
  infer(inputs, { axis, start, size }) {
    const [{ dtype, shape }] = inputs;
    const whole = shape[axis];
    const end = sum([start, size]);
    const tooLong = typeof whole === "number" && typeof end === "number" && end > whole;
    if (whole === undefined || (typeof start === "number" && start < 0) || tooLong) {
      fail("Slice", inputs, `axis ${axis} has no ${size} elements from ${start}`);
    }
    return [{ dtype, shape: shape.with(axis, size) }];
  },
  onnx({ inputs: [x], attributes: { axis, start, size }, outputs }, emitter) {
    const [from, to] = [emitter.shapeTensor([start]), emitter.shapeTensor([sum([start, size])])];
    emitter.emit("Slice", [x, from, to, emitter.int64([axis])], { outputs });
  },
  gradient: ({ inputs: [x], attributes: { axis, start } }, dy) => [padTo(dy, axis, start, x.shape[axis]!)],
  rows: unlessAlongRows,
});

/** Elements `start … start + size - 1` of an axis. */
export function sliceSize(x: Value, axis: number, start: Dimension, size: Dimension): Value {
  return x.graph.apply(SLICE, [x], { axis, start, size });
}

/** Elements `start … end - 1` of an axis. */
export const slice = (x: Value, axis: number, start: number, end: number): Value =>
  sliceSize(x, axis, start, end - start);

const SPLIT = define<[Value], { axis: number; sizes: readonly number[] }>({
  name: "Split",
  infer(inputs, { axis, sizes }) {
    const [{ dtype, shape }] = inputs;
    if (sum(sizes) !== shape[axis]) fail("Split", inputs, `axis ${axis} has no ${sum(sizes)} elements`);
    return sizes.map((size) => ({ dtype, shape: shape.with(axis, size) }));
  },
  onnx({ inputs: [x], attributes: { axis, sizes }, outputs }, emitter) {
    emitter.emit("Split", [x, emitter.int64(sizes)], { attributes: { axis }, outputs });
  },
  rows: unlessAlongRows,
});

/** Splits an axis into consecutive parts of these sizes; no gradient flows. */
export const split = (x: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
  sizes.length === 1 ? [x] : x.graph.apply(SPLIT, [x], { axis, sizes }).node!.outputs;

const PAD = define<[Value], Part>({
  name: "Pad",
  infer(inputs, { axis, size }) {
    const [{ dtype, shape }] = inputs;
    if (shape[axis] === undefined) fail("Pad", inputs, `has no axis ${axis}`);
    return [{ dtype, shape: shape.with(axis, size) }];
  },
  onnx({ inputs: [x], attributes: { axis, start, size }, outputs }, emitter) {
    // Lists pads for all axes: if ONNX Runtime moves a Transpose past a Pad, it ignores the axes that Pad may name.
    const behind = difference(size, sum([start, x.shape[axis]!]));
    const pads = [start, behind].flatMap((width) => x.shape.map((_, i) => (i === axis ? width : 0)));
    emitter.emit("Pad", [x, emitter.shapeTensor(pads)], { outputs });
  },
  gradient: ({ inputs: [x], attributes: { axis, start } }, dy) => [sliceSize(dy, axis, start, x.shape[axis]!)],
});

/** Places `x` at `start` of an axis of length `size`, with zeros around it. */
export function padTo(x: Value, axis: number, start: Dimension, size: Dimension): Value {
  return x.graph.apply(PAD, [x], { axis, start, size });
}

const AFTER = define<[Value, Value]>({
  name: "After",
  infer(inputs) {
    const [x, other] = inputs;
    if (x.dtype !== other.dtype || x.shape.length === 0 || !sameShape(x.shape.slice(1), other.shape.slice(1))) {
      fail("After", inputs, "takes values that agree but on the first axis");
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  // Concatenates no rows of `other`: ONNX Runtime then waits for both values and can optimise nothing away.
  onnx({ inputs: [x, other], outputs }, emitter) {
    const zero = emitter.int64([0]);
    const none = emitter.emit("Slice", [other, zero, zero, zero]);
    emitter.emit("Concat", [x, none], { attributes: { axis: 0 }, outputs });
  },
});

/** Returns a copy of `x` that is computed only after `other`; no gradient flows. */
export const after = (x: Value, other: Value): Value => x.graph.apply(AFTER, [x, other], {});
