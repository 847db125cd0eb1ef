import { sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, eachRow, FLOATS, fail, likeOperand, requireType, unary } from "./define.ts";
import { add, div, exp, mul, sqrt, sub } from "./elementwise.ts";
import { emitAs, emitLogSoftmax } from "./emit.ts";
import { reduceSum } from "./reductions.ts";

/** Operands: scores and, with dropout, its mask. */
const SOFTMAX = define<[Value, ...Value[]]>({
  name: "Softmax",
  infer(inputs) {
    requireType("Softmax", inputs, FLOATS);
    const [{ dtype, shape }, mask] = inputs;
    if (mask && !sameShape(mask.shape, shape)) fail("Softmax", inputs, `the mask must be ${showShape(shape)}`);
    return mask ? [1, 2].map(() => ({ dtype, shape })) : [{ dtype, shape }];
  },
  onnx({ inputs: [x, mask], outputs: [y, probabilities] }, emitter) {
    emitter.emit("Softmax", [x], { attributes: { axis: -1 }, outputs: [probabilities ?? y!] });
    if (mask) emitter.emit("Mul", [probabilities!, mask], { outputs: [y!] });
  },
  gradient({ outputs: [y, probabilities = y] }, dy) {
    // This also holds with a mask: probabilities times their own gradient are y times dy.
    const weighted = mul(dy, y!);
    return [sub(weighted, mul(probabilities!, reduceSum(weighted, [-1], true)))];
  },
  rows: eachRow,
});

/** Softmax over the last axis, with dropout if a mask of the same shape is given. */
export const softmax = (x: Value, mask?: Value): Value => x.graph.apply(SOFTMAX, mask ? [x, mask] : [x], {});

const LOG_SOFTMAX = define<[Value]>({
  name: "LogSoftmax",
  infer: likeOperand("LogSoftmax"),
  onnx: emitAs("LogSoftmax", () => ({ attributes: { axis: -1 } })),
  plainOnnx: ({ inputs: [x], outputs }, emitter) => emitLogSoftmax(emitter, x, outputs),
  gradient: ({ outputs: [y] }, dy) => [sub(dy, mul(exp(y!), reduceSum(dy, [-1], true)))],
  rows: eachRow,
});

/** Log-softmax over the last axis. */
export const logSoftmax = (x: Value): Value => unary(LOG_SOFTMAX, x);

const LAYER_NORM = define<[Value, Value, ...Value[]], { epsilon: number }>({
  name: "LayerNormalization",
  infer(inputs) {
    requireType("LayerNormalization", inputs, FLOATS);
    const [{ dtype, shape }, scale, bias] = inputs;
    const width = shape.slice(-1);
    if (!sameShape(scale.shape, width) || (bias && !sameShape(bias.shape, width))) {
      fail("LayerNormalization", inputs, `scale and bias must be ${showShape(width)}`);
    }
    if (typeof width[0] !== "number") fail("LayerNormalization", inputs, "the width must be a number");
    const rows = { dtype, shape: [...shape.slice(0, -1), 1] };
    return [{ dtype, shape }, rows, rows];
  },
  onnx: emitAs("LayerNormalization", ({ epsilon }) => ({ attributes: { axis: -1, epsilon: { float: epsilon } } })),
  gradient({ inputs: [x, scale], outputs: [, mean, inverseDeviation] }, dy) {
    const rowMean = (value: Value): Value => mul(reduceSum(value, [-1], true), 1 / Number(x.shape.at(-1)));
    // With g = dy ∘ scale and n = (x - mean) / deviation: dx = (g - mean(g) - n · mean(g n)) / deviation, written so that
    // n is not needed and few operations are of x's size.
    const g = mul(dy, scale);
    const mg = rowMean(g);
    const slope = mul(sub(rowMean(mul(g, x)), mul(mean!, mg)), mul(inverseDeviation!, inverseDeviation!));
    const dx = mul(sub(sub(g, mul(x, slope)), sub(mg, mul(mean!, slope))), inverseDeviation!);
    return [dx, mul(dy, mul(sub(x, mean!), inverseDeviation!)), dy];
  },
  rows: eachRow,
});

/** Layer normalisation over the last axis: `x [..., width]`, `scale` and `bias` `[width]`. */
export function layerNorm(x: Value, scale: Value, bias: Value | undefined, epsilon: number): Value {
  return x.graph.apply(LAYER_NORM, bias ? [x, scale, bias] : [x, scale], { epsilon });
}

const RMS_NORM = define<[Value, Value], { epsilon: number }>({
  // ONNX Runtime's name. The second output is not used: kernels disagree on its meaning.
  name: "SimplifiedLayerNormalization",
  infer(inputs) {
    requireType("SimplifiedLayerNormalization", inputs, FLOATS);
    const [{ dtype, shape }, scale] = inputs;
    const width = shape.slice(-1);
    if (!sameShape(scale.shape, width) || typeof width[0] !== "number") {
      fail("SimplifiedLayerNormalization", inputs, `the scale must be ${showShape(width)}, a number`);
    }
    return [{ dtype, shape }];
  },
  onnx: emitAs("SimplifiedLayerNormalization", ({ epsilon }) => ({
    attributes: { axis: -1, epsilon: { float: epsilon } },
  })),
  gradient({ inputs: [x, scale], attributes: { epsilon } }, dy) {
    const width = Number(x.shape.at(-1));
    const rowMean = (value: Value): Value => mul(reduceSum(value, [-1], true), 1 / width);
    const inverse = div(1, sqrt(add(rowMean(mul(x, x)), epsilon)));
    const g = mul(dy, scale);
    const along = mul(rowMean(mul(g, x)), mul(inverse, mul(inverse, inverse)));
    return [sub(mul(g, inverse), mul(x, along)), mul(dy, mul(x, inverse))];
  },
  rows: eachRow,
});

/** Root-mean-square normalisation over the last axis, `scale ∘ x / sqrt(mean(x²) + epsilon)` (arXiv 1910.07467). */
export function rmsNorm(x: Value, scale: Value, epsilon: number): Value {
  return x.graph.apply(RMS_NORM, [x, scale], { epsilon });
}
