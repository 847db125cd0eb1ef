import { sameShape } from "../dimension.ts";
import { ELEMENT_TYPE, type OnnxEmitter, type Value } from "../graph.ts";
import { quantizeMatrix, transposeBytes } from "../quantize.ts";
import { float32 } from "../tensor.ts";
import { define, fail, MICROSOFT, requireType } from "./define.ts";
import { type LinearFormat, like } from "./weight-format.ts";

type Factors = [bytes: Value, scales: Value, sums: Value];

/** Operands: rows, the weight's factors for this direction and for the other one, and a bias. */
const LINEAR_INT8 = define<[Value, ...Factors, ...Factors, ...Value[]]>({
  name: "LinearInt8",
  infer(inputs) {
    const [x, bytes, scales, sums, otherBytes, otherScales, otherSums, bias] = inputs;
    requireType("LinearInt8", [bytes, otherBytes], ["int8"]);
    const [k, n] = bytes.shape;
    requireType("LinearInt8", [x, scales, sums, otherScales, otherSums, ...(bias ? [bias] : [])], ["float32"]);
    const fits =
      x.shape.length === 2 &&
      x.shape[1] === k &&
      sameShape(otherBytes.shape, [n!, k!]) &&
      [scales, sums, ...(bias ? [bias] : [])].every(({ shape }) => sameShape(shape, [n!])) &&
      [otherScales, otherSums].every(({ shape }) => sameShape(shape, [k!]));
    if (!fits) fail("LinearInt8", inputs, "takes rows [m, k], [k, n], [n], [n], [n, k], [k], [k] and a bias [n]");
    return [{ dtype: "float32", shape: [x.shape[0]!, n!] }];
  },
  onnx({ inputs: [x, bytes, scales, sums, , , , bias], outputs }, emitter) {
    const emit: OnnxEmitter["emit"] = (...node) => emitter.emit(...node);
    const number = (value: number): string => emitter.scalar("float32", value);
    // Each row by its own range: a row's result does not depend on what else is in the batch.
    const axis = emitter.int64([-1]);
    const low = emit("Min", [emit("ReduceMin", [x, axis]), number(0)]);
    // A row of zeros has a range all the same, to divide by.
    const high = emit("Max", [emit("ReduceMax", [x, axis]), number(2 ** -100)]);
    const step = emit("Div", [emit("Sub", [high, low]), number(255)]);
    const zero = emit("Round", [emit("Neg", [emit("Div", [low, step])])]);
    const zeroByte = emit("Cast", [zero], { attributes: { to: ELEMENT_TYPE.uint8 } });
    const rows = emit("QuantizeLinear", [x, emit("Reshape", [step, axis]), emit("Reshape", [zeroByte, axis])], {
      attributes: { axis: 0 },
    });
    const product = emit("MatMulIntegerToFloat", [rows, bytes, number(1), scales], { domain: MICROSOFT });
    // (rows - zero) W = rows W - zero · (sums of W's columns), which a thin product adds together with the bias.
    const shift = emit("Neg", [emit("Mul", [zero, step])]);
    const line = (vector: Value): string => emit("Unsqueeze", [vector, emitter.int64([0])]);
    const [left, right] = bias
      ? [
          emit("Concat", [shift, emit("Div", [step, step])], { attributes: { axis: 1 } }),
          emit("Concat", [line(sums), line(bias)], { attributes: { axis: 0 } }),
        ]
      : [shift, line(sums)];
    emit("Gemm", [left, right, emit("Mul", [product, step])], { outputs });
  },
  gradient({ inputs: [, bytes, scales, sums, otherBytes, otherScales, otherSums] }, dy) {
    const dx = multiply(dy, otherBytes, otherScales, otherSums, bytes, scales, sums);
    return [dx, ...Array<undefined>(6), dy];
  },
  macs: ({ inputs: [x], outputs: [y] }) => [...y!.shape, x.shape[1]!],
});

const multiply = (x: Value, ...others: [...Factors, ...Factors, ...Value[]]): Value =>
  x.graph.apply(LINEAR_INT8, [x, ...others], {});

/**
 * Weights in 8 bits, with a copy for each direction, since products take no transposed bytes: `forward` `[in, out]` with a
 * scale for each output, for `x Wᵀ`, and `backward` `[out, in]` with a scale for each input, for `dY W`; beside each the
 * sums of its columns. Rows, of `x` and of gradients, are rounded to 255 steps over their own range; bytes are multiplied,
 * and the products scaled back. The gradient goes straight through the rounding.
 */
export const int8: LinearFormat<Part> = {
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
  linear: (x, { forward, forwardScales, forwardSums, backward, backwardScales, backwardSums }, _shape, bias) =>
    multiply(
      x,
      ...[forward, forwardScales, forwardSums],
      ...[backward, backwardScales, backwardSums],
      ...(bias ? [bias] : []),
    ),
};

type Direction = "forward" | "backward";
type Part = Direction | `${Direction}Scales` | `${Direction}Sums`;
