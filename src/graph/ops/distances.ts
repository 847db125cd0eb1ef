import { type Dimension, difference, product } from "../dimension.ts";
import type { OnnxEmitter, Value } from "../graph.ts";
import { define, fail, unary } from "./define.ts";

/** Target of a Reshape to `[…, rows, columns]`: 0 keeps a leading size, -1 infers the last. */
function rowsTarget(emitter: OnnxEmitter, leading: number, rows: Dimension): string {
  const kept = emitter.int64(Array(leading).fill(0));
  return emitter.emit("Concat", [kept, emitter.shapeTensor([rows]), emitter.int64([-1])], { attributes: { axis: 0 } });
}

// Row i of [n, 2n] starts at i·2n, and the part to keep at i·(2n-1) + n. Without its first n elements the same memory
// is n rows of 2n-1 elements, whose first n are the result.
const ALIGN = define<[Value]>({
  name: "AlignDistances",
  infer(inputs) {
    const [{ dtype, shape }] = inputs;
    const rows = shape.at(-2);
    if (rows === undefined || shape.at(-1) !== product([2, rows]))
      fail("AlignDistances", inputs, "takes [..., n, 2*n]");
    return [{ dtype, shape: [...shape.slice(0, -1), rows] }];
  },
  onnx({ inputs: [x], outputs }, emitter) {
    const leading = x.shape.length - 2;
    const rows = x.shape[leading]!;
    const size = emitter.shapeTensor([rows]);
    const flat = emitter.emit("Reshape", [x, emitter.int64([...Array(leading).fill(0), -1])]);
    const end = emitter.int64([2 ** 31 - 1]);
    const shifted = emitter.emit("Slice", [flat, size, end, emitter.int64([leading])]);
    const skewed = emitter.emit("Reshape", [shifted, rowsTarget(emitter, leading, rows)]);
    emitter.emit("Slice", [skewed, emitter.int64([0]), size, emitter.int64([leading + 1])], { outputs });
  },
  gradient: (_node, dy) => [unary(SPREAD, dy)],
});

/** Aligns relative distances: `x [..., n, 2*n]` → `y [..., n, n]` with `y[i, j] = x[i, n + j - i]`. */
export const alignDistances = (x: Value): Value => unary(ALIGN, x);

/** The inverse: `y[i, n + j - i] = x[i, j]`, zeros elsewhere. */
const SPREAD = define<[Value]>({
  name: "SpreadDistances",
  infer(inputs) {
    const [{ dtype, shape }] = inputs;
    const rows = shape.at(-2);
    if (rows === undefined || shape.at(-1) !== rows) fail("SpreadDistances", inputs, "takes [..., n, n]");
    return [{ dtype, shape: [...shape.slice(0, -1), product([2, rows])] }];
  },
  onnx({ inputs: [x], outputs }, emitter) {
    const leading = x.shape.length - 2;
    const rows = x.shape[leading]!;
    const pad = (value: Value | string, before: Dimension, after: Dimension, axis: number): string =>
      emitter.emit("Pad", [value, emitter.shapeTensor([before, after]), "", emitter.int64([axis])]);
    const skewed = pad(x, 0, difference(rows, 1), leading + 1);
    const flat = emitter.emit("Reshape", [skewed, emitter.int64([...Array(leading).fill(0), -1])]);
    emitter.emit("Reshape", [pad(flat, rows, 0, leading), rowsTarget(emitter, leading, rows)], { outputs });
  },
});
