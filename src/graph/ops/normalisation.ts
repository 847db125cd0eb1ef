import { sameShape, showShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, FLOATS, fail, likeOperand, requireType, unary } from "./define.ts";
import { exp, mul, sub } from "./elementwise.ts";
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
