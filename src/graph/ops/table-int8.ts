import { ELEMENT_TYPE, type OnnxEmitter, type Value } from "../graph.ts";
import { quantizeMatrix } from "../quantize.ts";
import { float32 } from "../tensor.ts";
import { define, eachRow, fail, requireIndices, requireType } from "./define.ts";
import { isPackable, packedBytes, packedProduct } from "./packed-product.ts";
import { like, type TableFormat } from "./weight-format.ts";

/** Maximum number of elements of a table that a product dequantises at once (8 MB). */
const PIECE = 2 ** 21;

function requireTable(name: string, inputs: readonly Value[], bytes: Value, scales: Value): void {
  requireType(name, [bytes], ["int8"]);
  requireType(name, [scales], ["float32"]);
  const [rows, width] = bytes.shape as [number, number];
  const [scaled, groups] = scales.shape as [number, number];
  if (bytes.shape.length !== 2 || scales.shape.length !== 2 || scaled !== rows || width % groups !== 0) {
    fail(name, inputs, "takes a table [rows, width] with scales [rows, groups]");
  }
}

const LOOKUP_INT8 = define<[Value, Value, Value]>({
  name: "LookupInt8",
  infer(inputs) {
    const [bytes, scales, indices] = inputs;
    requireTable("LookupInt8", inputs, bytes, scales);
    requireIndices("LookupInt8", inputs, [indices]);
    return [{ dtype: "float32", shape: [...indices.shape, bytes.shape[1]!] }];
  },
  onnx({ inputs: [bytes, scales, indices], outputs }, emitter) {
    const attributes = { axis: 0 };
    const rows = emitter.emit("Gather", [bytes, indices], { attributes });
    const numbers = emitter.emit("Cast", [rows], { attributes: { to: ELEMENT_TYPE.float32 } });
    const factors = emitter.emit("Gather", [scales, indices], { attributes });
    const [width, groups] = [bytes.shape[1] as number, scales.shape[1] as number];
    if (groups === 1) {
      emitter.emit("Mul", [numbers, factors], { outputs });
      return;
    }
    const inGroups = emitter.emit("Reshape", [numbers, emitter.int64([-1, width / groups])]);
    const column = emitter.emit("Reshape", [factors, emitter.int64([-1, 1])]);
    emitter.emit("Reshape", [emitter.emit("Mul", [inGroups, column]), emitter.shapeTensor(outputs[0]!.shape)], {
      outputs,
    });
  },
});

/** `x · tableᵀ`, or `x · table` for gradients, plus an optional addend. */
const LINEAR_TABLE_INT8 = define<[Value, Value, Value, ...Value[]], { transposed: boolean }>({
  name: "LinearTableInt8",
  infer(inputs, { transposed }) {
    const [x, bytes, scales, addend] = inputs;
    requireTable("LinearTableInt8", inputs, bytes, scales);
    requireType("LinearTableInt8", [x, ...(addend ? [addend] : [])], ["float32"]);
    const [k, n] = transposed ? bytes.shape.toReversed() : bytes.shape;
    if (x.shape.length !== 2 || x.shape[1] !== k) fail("LinearTableInt8", inputs, `takes rows [m, ${k}]`);
    return [{ dtype: "float32", shape: [x.shape[0]!, n!] }];
  },
  onnx({ inputs: [x, bytes, scales, addend], attributes: { transposed }, outputs }, emitter) {
    const emit: OnnxEmitter["emit"] = (...node) => emitter.emit(...node);
    const [rows, width] = bytes.shape as [number, number];
    const groups = scales.shape[1] as number;
    const [first, last] = [emitter.int64([0]), emitter.int64([-1])];
    // Slices start at a tensor that is joined with an empty slice of `x`, so that ONNX Runtime neither dequantises all
    // pieces first nor keeps one for the other direction.
    const nothing = emit("Reshape", [emit("Slice", [x, first, first, first]), last]);
    const none = emit("Cast", [nothing], { attributes: { to: ELEMENT_TYPE.int64 } });
    const columns = (of: Value, start: number, end: number): Value | string =>
      end - start === rows ? of : emit("Slice", [of, emitter.int64([start]), emitter.int64([end]), last]);
    const piece = (start: number, end: number): string => {
      const from = emit("Concat", [emitter.int64([start]), none], { attributes: { axis: 0 } });
      const part = (whole: Value): string => emit("Slice", [whole, from, emitter.int64([end]), first]);
      const scale = emit("Reshape", [part(scales), last]);
      const scaled = (of: string): string => emit("DequantizeLinear", [of, scale], { attributes: { axis: 0 } });
      if (groups === 1) return scaled(part(bytes));
      const inGroups = emit("Reshape", [part(bytes), emitter.int64([-1, width / groups])]);
      return emit("Reshape", [scaled(inGroups), emitter.int64([-1, width])]);
    };
    const size = Math.max(1, Math.floor(PIECE / width));
    const parts = Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
      return [i * size, Math.min(rows, (i + 1) * size)] as const;
    });
    if (transposed) {
      const products = parts.map(([start, end]) => {
        const bias = addend ? [columns(addend, start, end)] : [];
        return emit("Gemm", [x, piece(start, end), ...bias], { attributes: { transB: 1 } });
      });
      emit("Concat", products, { attributes: { axis: 1 }, outputs });
      return;
    }
    let sum = addend ? [addend as Value | string] : [];
    for (const [start, end] of parts) {
      sum = [emit("Gemm", [columns(x, start, end), piece(start, end), ...sum], end === rows ? { outputs } : {})];
    }
  },
  packedOnnx({ inputs: [x, bytes, scales, addend], attributes: { transposed }, outputs }, emitter) {
    const shape = bytes.shape as [number, number];
    if (!transposed || !isPackable(shape[1])) return false;
    const numbers = (): Int8Array => emitter.dataOf(bytes) as Int8Array;
    const factors = (): Float32Array => emitter.dataOf(scales) as Float32Array;
    packedProduct(x, packedBytes(bytes, numbers, factors, shape), addend, outputs, emitter);
    return true;
  },
  gradient: ({ inputs: [, bytes, scales], attributes: { transposed } }, dy) => [
    multiplyBytes(dy, bytes, scales, !transposed),
    undefined,
    undefined,
    dy,
  ],
  accumulate: ({ inputs: [x, bytes, scales, taken], attributes: { transposed } }, addend) =>
    taken ? undefined : multiplyBytes(x, bytes, scales, transposed, addend),
  rows: eachRow,
  macs: ({ inputs: [x], outputs: [y] }) => [...y!.shape, x.shape[1]!],
});

/**
 * Looks up rows of 8-bit `[rows, width]` with scales `[rows, groups]`: `indices [...]` → float32 `[..., width]`. No
 * gradient flows.
 */
export const lookupBytes = (bytes: Value, scales: Value, indices: Value): Value =>
  bytes.graph.apply(LOOKUP_INT8, [bytes, scales, indices], {});

/** `x · tableᵀ` if `transposed`, else `x · table`, plus `addend`, for an 8-bit table. */
export const multiplyBytes = (x: Value, bytes: Value, scales: Value, transposed: boolean, addend?: Value): Value =>
  x.graph.apply(LINEAR_TABLE_INT8, [x, bytes, scales, ...(addend ? [addend] : [])], { transposed });

/**
 * Tables in 8 bits with a scale for each row, one copy for look-ups and for a language model's output layer. That
 * layer's products are in float32, on pieces of the table that are dequantised in turn: with 255 steps, the gradient
 * over a vocabulary would keep only its largest entries.
 */
export const tableInt8: TableFormat<"bytes" | "scales"> = {
  parts: (rows, width) => ({ bytes: like("int8", rows, width), scales: like("float32", rows, 1) }),
  quantize({ shape, data }) {
    const [rows, width] = shape as [number, number];
    const { values, scales } = quantizeMatrix(data, width);
    return { bytes: { ...like("int8", rows, width), data: values }, scales: float32([rows, 1], scales) };
  },
  lookup: ({ bytes, scales }, indices) => lookupBytes(bytes, scales, indices),
  linear: (x, { bytes, scales }, _shape, bias) => multiplyBytes(x, bytes, scales, true, bias),
};
