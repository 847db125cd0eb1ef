import { product } from "../../graph/dimension.ts";
import { Graph, type Value } from "../../graph/graph.ts";
import { exp, gemm, logSoftmax, mul, reduceSum, reshape, sigmoid, slice, softplus, sub } from "../../graph/ops.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";

export interface ScoredRows {
  outputs: number;
  /** `[rows, outputs]` */
  logits: Float64Array;
  /** `[rows, outputs]` */
  targets: Float64Array;
  /** `[rows]` */
  weights: Float64Array;
}

type Rows = Omit<ScoredRows, "weights">;

/**
 * A convex loss of a row's outputs z: `normaliser(z) - targets · z`, up to a number that depends on the targets alone (the loss of an
 * exponential family with its canonical link). The gradient of the normaliser is what the row is expected to be.
 */
interface Family {
  /** Whether the expected values are probabilities: a factor of all outputs then changes only how sure they are. */
  scales: boolean;
  /** The normaliser of one row; replaces its outputs by the expected values. */
  expect(z: Float64Array): number;
  /** The same for rows `[rows, outputs]` of a graph: `[rows, 1]` and `[rows, outputs]`. */
  inGraph(z: Value): { normaliser: Value; expected: Value };
}

const FAMILIES: Readonly<Record<LinearLoss, Family>> = {
  /** Cross-entropy of one choice: multinomial logistic regression. */
  softmax: {
    scales: true,
    expect(z) {
      let [largest, total] = [Number.NEGATIVE_INFINITY, 0];
      for (let k = 0; k < z.length; k++) if (z[k]! > largest) largest = z[k]!;
      for (let k = 0; k < z.length; k++) {
        const share = Math.exp(z[k]! - largest);
        z[k] = share;
        total += share;
      }
      const inverse = 1 / total;
      for (let k = 0; k < z.length; k++) z[k]! *= inverse;
      return largest + Math.log(total);
    },
    inGraph(z) {
      const logarithms = logSoftmax(z);
      return { normaliser: sub(slice(z, 1, 0, 1), slice(logarithms, 1, 0, 1)), expected: exp(logarithms) };
    },
  },
  /** Cross-entropy of each single output: one logistic regression for each output. */
  sigmoid: {
    scales: true,
    expect(z) {
      let normaliser = 0;
      for (let k = 0; k < z.length; k++) {
        normaliser += Math.max(z[k]!, 0) + Math.log1p(Math.exp(-Math.abs(z[k]!)));
        z[k] = 1 / (1 + Math.exp(-z[k]!));
      }
      return normaliser;
    },
    inGraph: (z) => ({ normaliser: reduceSum(softplus(z), [1], true), expected: sigmoid(z) }),
  },
  /** Half the squared difference: ridge regression. */
  squared: {
    scales: false,
    expect: (z) => z.reduce((sum, each) => sum + 0.5 * each * each, 0),
    inGraph: (z) => ({ normaliser: mul(reduceSum(mul(z, z), [1], true), 0.5), expected: z }),
  },
};

export const scales = (loss: LinearLoss): boolean => FAMILIES[loss].scales;

/** The loss of `factor` times a row's outputs, without the row's weight. */
export function rowLoss(of: LinearLoss, { logits, targets, outputs }: Rows, row: number, factor: number): number {
  const z = new Float64Array(outputs);
  let given = 0;
  for (let k = 0; k < outputs; k++) {
    z[k] = factor * logits[row * outputs + k]!;
    given += z[k]! * targets[row * outputs + k]!;
  }
  return FAMILIES[of].expect(z) - given;
}

/**
 * The derivative of {@link rowLoss} by the factor: what the row is expected to be, less what it is, times its outputs. The search for a
 * factor spends its time here, so that nothing is stored on the way.
 */
export function rowSlope(of: LinearLoss, { logits, targets, outputs }: Rows, row: number, factor: number): number {
  const [from, to] = [row * outputs, (row + 1) * outputs];
  let [largest, total, mean, given] = [Number.NEGATIVE_INFINITY, 0, 0, 0];
  if (of !== "softmax") {
    for (let k = from; k < to; k++) {
      const expected = of === "sigmoid" ? 1 / (1 + Math.exp(-factor * logits[k]!)) : factor * logits[k]!;
      mean += (expected - targets[k]!) * logits[k]!;
    }
    return mean;
  }
  for (let k = from; k < to; k++) largest = Math.max(largest, factor * logits[k]!);
  for (let k = from; k < to; k++) {
    const share = Math.exp(factor * logits[k]! - largest);
    total += share;
    mean += share * logits[k]!;
    given += targets[k]! * logits[k]!;
  }
  return mean / total - given;
}

/** Mean of the diagonal of the Hessian by a row's outputs `z`: of probabilities, their variances. */
export function curvature(of: LinearLoss, z: Float64Array): number {
  const { scales, expect } = FAMILIES[of];
  if (!scales) return 1;
  const expected = z.slice();
  expect(expected);
  return expected.reduce((sum, share) => sum + share * (1 - share), 0) / z.length;
}

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
  const { normaliser, expected } = FAMILIES[loss].inGraph(reshape(logits, [each, outputs]));
  const weighted = mul(expected, reshape(weights, [each, 1]));
  return {
    logits,
    value: reduceSum(mul(reshape(normaliser, ["rows", "fits"]), weights), [0]),
    gradient: gemm(reshape(weighted, ["rows", all]), x, { transA: true }),
  };
}
