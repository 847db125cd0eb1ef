import { product, sameShape } from "../dimension.ts";
import { ELEMENT_TYPE, type OnnxEmitter, type Value } from "../graph.ts";
import { dequantizeGroups, GROUP, quantizeGroups } from "../quantize.ts";
import { asFloat32, float32 } from "../tensor.ts";
import { define, eachRow, fail, requireType } from "./define.ts";
import { isPackable, packedPairs, packedProduct } from "./packed-product.ts";
import { type LayerFormat, like } from "./weight-format.ts";

type Product = { outFeatures: number; inFeatures: number; transposed: boolean };

/** Operands: rows, packed groups, their scales, and optionally an addend. */
const LINEAR_INT4 = define<[Value, Value, Value, ...Value[]], Product>({
  name: "LinearInt4",
  infer(inputs, { outFeatures, inFeatures, transposed }) {
    const [x, packed, scales, addend] = inputs;
    requireType("LinearInt4", [packed], ["uint8"]);
    requireType("LinearInt4", [x, scales, ...(addend ? [addend] : [])], ["float32"]);
    const groups = groupsOf(outFeatures, inFeatures);
    const [k, n] = transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
    const fits =
      x.shape.length === 2 &&
      x.shape[1] === k &&
      sameShape(packed.shape, [groups, GROUP / 2]) &&
      sameShape(scales.shape, [groups]);
    if (!fits) fail("LinearInt4", inputs, `takes rows [m, ${k}], [${groups}, ${GROUP / 2}] and [${groups}]`);
    return [{ dtype: "float32", shape: [x.shape[0]!, n] }];
  },
  onnx({ inputs: [x, packed, scales, addend], attributes, outputs }, emitter) {
    const { outFeatures, inFeatures, transposed } = attributes;
    const weight = dequantize(x, packed, scales, [outFeatures, inFeatures], emitter);
    emitter.emit("Gemm", [x, weight, ...(addend ? [addend] : [])], {
      attributes: { transB: Number(transposed) },
      outputs,
    });
  },
  packedOnnx({ inputs: [x, packed, scales, addend], attributes, outputs }, emitter) {
    const { outFeatures, inFeatures, transposed } = attributes;
    if (!transposed || !isPackable(inFeatures)) return false;
    const numbers = (): Uint8Array => emitter.dataOf(packed) as Uint8Array;
    const factors = (): Float32Array => emitter.dataOf(scales) as Float32Array;
    packedProduct(x, packedPairs(packed, numbers, factors, [outFeatures, inFeatures]), addend, outputs, emitter);
    return true;
  },
  gradient: ({ inputs: [, packed, scales], attributes }, dy) => [
    multiply(dy, packed, scales, { ...attributes, transposed: !attributes.transposed }),
    undefined,
    undefined,
    dy,
  ],
  accumulate: ({ inputs: [x, packed, scales, taken], attributes }, addend) =>
    taken ? undefined : multiply(x, packed, scales, attributes, addend),
  rows: eachRow,
  macs: ({ inputs: [x], outputs: [y] }) => [...y!.shape, x.shape[1]!],
});

const multiply = (x: Value, packed: Value, scales: Value, product: Product, addend?: Value): Value =>
  x.graph.apply(LINEAR_INT4, [x, packed, scales, ...(addend ? [addend] : [])], product);

const groupsOf = (outFeatures: number, inFeatures: number): number => Math.ceil((outFeatures * inFeatures) / GROUP);

function dequantize(
  x: Value,
  packed: Value,
  scales: Value,
  shape: readonly [number, number],
  emitter: OnnxEmitter,
): string {
  const emit: OnnxEmitter["emit"] = (...node) => emitter.emit(...node);
  const bytes = { attributes: { to: ELEMENT_TYPE.uint8 } };
  // If these nodes did not depend on `x`, ONNX Runtime would dequantise a weight once for both directions, or all
  // weights first, and keep the results. So their constants are joined with an empty slice of `x`.
  const [zero, flat] = [emitter.int64([0]), emitter.int64([-1])];
  const nothing = emit("Reshape", [emit("Slice", [x, zero, zero, zero]), flat]);
  const none = emit("Cast", [nothing], { attributes: { to: ELEMENT_TYPE.int64 } });
  const byte = (value: number): string =>
    emit("Cast", [emit("Concat", [emitter.int64([value]), none], { attributes: { axis: 0 } })], bytes);
  const low = emit("BitwiseAnd", [packed, byte(15)]);
  const high = emit("BitShift", [packed, byte(4)], { attributes: { direction: "RIGHT" } });
  const groups = emit("Concat", [low, high], { attributes: { axis: 1 } });
  const middle = emit("Expand", [emitter.scalar("uint8", 8), emitter.shapeTensor(scales.shape)]);
  const numbers = emit("DequantizeLinear", [groups, scales, middle], { attributes: { axis: 0 } });
  const size = product(shape) as number;
  if (size % GROUP === 0) return emit("Reshape", [numbers, emitter.int64(shape)]);
  const all = emit("Reshape", [numbers, flat]);
  return emit("Reshape", [emit("Slice", [all, zero, emitter.int64([size])]), emitter.int64(shape)]);
}

/**
 * Weights in 4 bits, one copy for both directions. Groups of 32 adjacent numbers (in a row, if its length is a multiple
 * of 32) share a scale and are packed two to a byte: the first 16 in the low nibbles of the group's bytes, the others
 * in the high ones. A layer is dequantised to float32 for each product and then freed. Activations are not rounded.
 */
export const int4: LayerFormat<"packed" | "scales"> = {
  parts(outFeatures, inFeatures) {
    const groups = groupsOf(outFeatures, inFeatures);
    return { packed: like("uint8", groups, GROUP / 2), scales: like("float32", groups) };
  },
  quantize({ data }) {
    const { packed, scales } = quantizeGroups(data);
    return {
      packed: { ...like("uint8", scales.length, GROUP / 2), data: packed },
      scales: float32([scales.length], scales),
    };
  },
  dequantize: ({ packed, scales }, shape) =>
    float32(
      shape,
      dequantizeGroups(packed.data as Uint8Array, asFloat32(scales).data).subarray(0, shape[0] * shape[1]),
    ),
  linear: (x, { packed, scales }, [outFeatures, inFeatures], bias) =>
    multiply(x, packed, scales, { outFeatures, inFeatures, transposed: true }, bias),
};
