import { sameShape } from "../dimension.ts";
import { ELEMENT_TYPE, type OnnxEmitter, type Value } from "../graph.ts";
import { quantizeMatrix, transposeBytes } from "../quantize.ts";
import { asFloat32, float32 } from "../tensor.ts";
import { define, eachRow, fail, MICROSOFT, requireType } from "./define.ts";
import { isPackable, packedBytes, packedProduct } from "./packed-product.ts";
import { gemm } from "./products.ts";
import { reshape } from "./shape.ts";
import { concat } from "./slices.ts";
import { type LayerFormat, like } from "./weight-format.ts";

type Factors = [bytes: Value, scales: Value, sums: Value];

/** Smallest range of a row: a row of zeros needs a step above 0, as a divisor. */
const TINY = 2 ** -100;

/**
 * Quantises each row `[columns]` by its own range, so that it does not depend on the rest of the batch: `(bytes + zero) · step`, with
 * `zero` from -255 to 0.
 */
function quantizeRows(x: Value, emitter: OnnxEmitter): { bytes: string; step: string; zero: string } {
  const emit: OnnxEmitter["emit"] = (...node) => emitter.emit(...node);
  const axis = emitter.int64([-1]);
  const low = emit("Min", [emit("ReduceMin", [x, axis]), emitter.scalar("float32", 0)]);
  const high = emit("Max", [emit("ReduceMax", [x, axis]), emitter.scalar("float32", TINY)]);
  const step = emit("Div", [emit("Sub", [high, low]), emitter.scalar("float32", 255)]);
  const zero = emit("Round", [emit("Div", [low, step])]);
  const zeroByte = emit("Cast", [emit("Neg", [zero])], { attributes: { to: ELEMENT_TYPE.uint8 } });
  // A row is one block: ONNX Runtime quantises blocks with all threads, but a scale for each row with one.
  const attributes = { axis: 1, block_size: x.shape[1] as number };
  return { bytes: emit("QuantizeLinear", [x, step, zeroByte], { attributes }), step, zero };
}

/** Shifts signed bytes by 128. Returns them with the product's zero points: none for the rows, 128 for the bytes. */
function unsigned(bytes: Value, emitter: OnnxEmitter): [bytes: string, ofRows: "", ofBytes: string] {
  const middle = emitter.scalar("uint8", 128);
  const wrapped = emitter.emit("Cast", [bytes], { attributes: { to: ELEMENT_TYPE.uint8 } });
  return [emitter.emit("BitwiseXor", [wrapped, middle]), "", middle];
}

/** `rows W` of quantised rows with zero point 0. Operands: rows, then the weight's factors for this and the other direction. */
const LINEAR_INT8 = define<[Value, ...Factors, ...Factors]>({
  name: "LinearInt8",
  infer(inputs) {
    const [x, bytes, scales, sums, otherBytes, otherScales, otherSums] = inputs;
    requireType("LinearInt8", [bytes, otherBytes], ["int8"]);
    const [k, n] = bytes.shape;
    requireType("LinearInt8", [x, scales, sums, otherScales, otherSums], ["float32"]);
    const fits =
      x.shape.length === 2 &&
      x.shape[1] === k &&
      sameShape(otherBytes.shape, [n!, k!]) &&
      [scales, sums].every(({ shape }) => sameShape(shape, [n!])) &&
      [otherScales, otherSums].every(({ shape }) => sameShape(shape, [k!]));
    if (!fits) fail("LinearInt8", inputs, "takes rows [m, k], [k, n], [n], [n], [n, k], [k] and [k]");
    return [{ dtype: "float32", shape: [x.shape[0]!, n!] }];
  },
  onnx({ inputs: [x, bytes, scales], outputs }, emitter) {
    const { bytes: rows, step } = quantizeRows(x, emitter);
    const weight = emitter.unsignedBytes ? unsigned(bytes, emitter) : [bytes];
    const factors = [rows, weight[0]!, emitter.scalar("float32", 1), scales, ...weight.slice(1)];
    const product = emitter.emit("MatMulIntegerToFloat", factors, { domain: MICROSOFT });
    emitter.emit("Mul", [product, step], { outputs });
  },
  packedOnnx({ inputs: [x, bytes, scales], outputs }, emitter) {
    const [inFeatures, outFeatures] = bytes.shape as [number, number];
    if (!isPackable(inFeatures)) return false;
    const transposed = (): Int8Array => transposeBytes(emitter.dataOf(bytes) as Int8Array, outFeatures);
    const factors = (): Float32Array => emitter.dataOf(scales) as Float32Array;
    const packed = packedBytes(bytes, transposed, factors, [outFeatures, inFeatures]);
    packedProduct(x, packed, undefined, outputs, emitter);
    return true;
  },
  gradient: ({ inputs: [, bytes, scales, sums, otherBytes, otherScales, otherSums] }, dy) => [
    multiply(dy, [otherBytes, otherScales, otherSums], [bytes, scales, sums]),
  ],
  rows: eachRow,
  macs: ({ inputs: [x], outputs: [y] }) => [...y!.shape, x.shape[1]!],
});

/** Zero points of quantised rows times -step, `[rows, 1]`; beside it a column of ones for a bias. No gradient flows. */
const ROW_SHIFT = define<[Value], { ones: boolean }>({
  name: "RowShift",
  infer: ([{ dtype, shape }], { ones }) => [{ dtype, shape: [shape[0]!, ones ? 2 : 1] }],
  onnx({ inputs: [x], attributes: { ones }, outputs }, emitter) {
    const { step, zero } = quantizeRows(x, emitter);
    if (!ones) emitter.emit("Mul", [zero, step], { outputs });
    else {
      const pads = emitter.int64([0, 0, 0, 1]);
      emitter.emit("Pad", [emitter.emit("Mul", [zero, step]), pads, emitter.scalar("float32", 1)], { outputs });
    }
  },
  packedOnnx({ inputs: [x], attributes: { ones }, outputs }, emitter) {
    if (!isPackable(x.shape[1] as number)) return false;
    // A packed product has zero point 0.
    const values = (ones ? [0, 1] : [0]).map((value) => {
      return emitter.emit("Reshape", [emitter.scalar("float32", value), emitter.int64([1, 1])]);
    });
    const row = emitter.emit("Concat", values, { attributes: { axis: 1 } });
    emitter.emit("Expand", [row, emitter.shapeTensor([x.shape[0]!, 1])], { outputs });
    return true;
  },
  rows: eachRow,
});

/** `x W + bias`: `(bytes - zero) W = bytes W - zero · (sums of W's columns)`; a thin product adds the latter and the bias. */
function multiply(x: Value, own: Factors, other: Factors, bias?: Value): Value {
  const { graph } = x;
  const line = (vector: Value): Value => reshape(vector, [1, vector.shape[0]!]);
  const shift = graph.apply(ROW_SHIFT, [x], { ones: bias !== undefined });
  const right = bias ? concat([line(own[2]), line(bias)], 0) : line(own[2]);
  const addend = graph.apply(LINEAR_INT8, [x, ...own, ...other], {});
  return gemm(shift, right, { addend, uncounted: [0, 0, bias ? 2 : 1] });
}

/**
 * Weights in 8 bits, with a copy for each direction, since 8-bit products cannot transpose: `forward` `[in, out]` with
 * a scale for each output, for `x Wᵀ`, and `backward` `[out, in]` with a scale for each input, for `dY W`; each with
 * the sums of its columns. Rows, of `x` and of gradients, are rounded to 255 steps over their own range; bytes are
 * multiplied, and the products scaled back. The gradient passes straight through the rounding.
 */
export const int8: LayerFormat<Part> = {
  parts: (outFeatures, inFeatures) => ({
    forward: like("int8", inFeatures, outFeatures),
    forwardScales: like("float32", outFeatures),
    forwardSums: like("float32", outFeatures),
    backward: like("int8", outFeatures, inFeatures),
    backwardScales: like("float32", inFeatures),
    backwardSums: like("float32", inFeatures),
  }),
  quantize({ shape, data }) {
    const [outFeatures, inFeatures] = shape as [number, number];
    const forward = quantizeMatrix(data, inFeatures, "rows");
    const backward = quantizeMatrix(data, inFeatures, "columns");
    return {
      forward: { ...like("int8", inFeatures, outFeatures), data: transposeBytes(forward.values, inFeatures) },
      forwardScales: float32([outFeatures], forward.scales),
      forwardSums: float32([outFeatures], forward.sums),
      backward: { ...like("int8", outFeatures, inFeatures), data: backward.values },
      backwardScales: float32([inFeatures], backward.scales),
      backwardSums: float32([inFeatures], backward.sums),
    };
  },
  dequantize({ forward, forwardScales }, [outFeatures, inFeatures]) {
    const scales = asFloat32(forwardScales).data;
    const bytes = transposeBytes(forward.data as Int8Array, outFeatures);
    return float32(
      [outFeatures, inFeatures],
      Float32Array.from(bytes, (byte, i) => byte * scales[Math.floor(i / inFeatures)]!),
    );
  },
  linear: (x, { forward, forwardScales, forwardSums, backward, backwardScales, backwardSums }, _shape, bias) =>
    multiply(x, [forward, forwardScales, forwardSums], [backward, backwardScales, backwardSums], bias),
};

type Direction = "forward" | "backward";
type Part = Direction | `${Direction}Scales` | `${Direction}Sums`;
