import { product } from "../../graph/dimension.ts";
import { Graph, type Value } from "../../graph/graph.ts";
import { exp, gemm, logSoftmax, mul, reduceSum, reshape, sigmoid, slice, softplus, sub } from "../../graph/ops.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";

/**
 * The normaliser of each loss, as a function of outputs z `[rows, outputs]`. A row's loss is `normaliser(z) - targets · z`, up to a
 * number that does not depend on z (the loss of an exponential family with its canonical link). Returns the normaliser `[rows, 1]`
 * and its gradient `[rows, outputs]`.
 */
const NORMALISERS: Readonly<Record<LinearLoss, (z: Value) => { normaliser: Value; expected: Value }>> = {
  softmax(z) {
    const logarithms = logSoftmax(z);
    return { normaliser: sub(slice(z, 1, 0, 1), slice(logarithms, 1, 0, 1)), expected: exp(logarithms) };
  },
  sigmoid: (z) => ({ normaliser: reduceSum(softplus(z), [1], true), expected: sigmoid(z) }),
  squared: (z) => ({ normaliser: mul(reduceSum(mul(z, z), [1], true), 0.5), expected: z }),
};

/**
 * Several linear functions of the same rows, in float64. Inputs: `x [rows, columns]`, `coefficients [fits, outputs, columns]`, and
 * `weights [rows, fits]`, the factor of each row's loss in each fit.
 * @returns `logits [rows, fits * outputs]`; for each fit the weighted sum of normalisers `value [fits]` and its gradient
 * `[fits * outputs, columns]`
 */
export function lossGraph(loss: LinearLoss, outputs: number): Record<"logits" | "value" | "gradient", Value> {
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float64", ["rows", "columns"]);
  const coefficients = graph.leaf("input", "coefficients", "float64", ["fits", outputs, "columns"]);
  const weights = graph.leaf("input", "weights", "float64", ["rows", "fits"]);
  const all = product(["fits", outputs]);
  const each = product(["rows", "fits"]);
  const logits = gemm(x, reshape(coefficients, [all, "columns"]), { transB: true });
  const { normaliser, expected } = NORMALISERS[loss](reshape(logits, [each, outputs]));
  const weighted = mul(expected, reshape(weights, [each, 1]));
  return {
    logits,
    value: reduceSum(mul(reshape(normaliser, ["rows", "fits"]), weights), [0]),
    gradient: gemm(reshape(weighted, ["rows", all]), x, { transA: true }),
  };
}
