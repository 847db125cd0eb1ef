import { sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, FLOATS, fail, likeOperand, requireType, unary } from "./define.ts";
import { add, div, exp, mul, sqrt, sub } from "./elementwise.ts";
import { emitAs } from "./emit.ts";
import { reduceSum } from "./reductions.ts";

const SOFTMAX = define<[Value]>({
  name: "Softmax",
  infer: likeOperand("Softmax"),
  onnx: emitAs("Softmax", () => ({ attributes: { axis: -1 } })),
  gradient({ outputs: [y] }, dy) {
    const weighted = mul(dy, y!);
    return [sub(weighted, mul(y!, reduceSum(weighted, [-1], true)))];
  },
});

/** Softmax over the last axis. */
export const softmax = (x: Value): Value => unary(SOFTMAX, x);

const LOG_SOFTMAX = define<[Value]>({
  name: "LogSoftmax",
  infer: likeOperand("LogSoftmax"),
  onnx: emitAs("LogSoftmax", () => ({ attributes: { axis: -1 } })),
  gradient: ({ outputs: [y] }, dy) => [sub(dy, mul(exp(y!), reduceSum(dy, [-1], true)))],
});

/** Logarithm of the softmax over the last axis. */
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
    const normalised = mul(sub(x, mean!), inverseDeviation!);
    const rowMean = (value: Value): Value => mul(reduceSum(value, [-1], true), 1 / Number(x.shape.at(-1)));
    const g = mul(dy, scale);
    const centred = sub(g, rowMean(g));
    const dx = mul(sub(centred, mul(normalised, rowMean(mul(g, normalised)))), inverseDeviation!);
    return [dx, mul(dy, normalised), dy];
  },
});

/** Layer normalisation over the last axis: `x [..., width]`, `scale` and `bias` `[width]`. */
export function layerNorm(x: Value, scale: Value, bias: Value | undefined, epsilon: number): Value {
  return x.graph.apply(LAYER_NORM, bias ? [x, scale, bias] : [x, scale], { epsilon });
}

const RMS_NORM = define<[Value, Value], { epsilon: number }>({
  // ONNX Runtime's name for it. Its second output is left alone: kernels do not agree on what that is.
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
});

/** Root-mean-square normalisation over the last axis, `scale ∘ x / sqrt(mean(x²) + epsilon)` (arXiv 1910.07467). */
export function rmsNorm(x: Value, scale: Value, epsilon: number): Value {
  return x.graph.apply(RMS_NORM, [x, scale], { epsilon });
}
