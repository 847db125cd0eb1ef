import type { LinearLoss } from "../../tasks/losses/objective.ts";

/** Outputs of rows, with their targets. */
export interface ScoredRows {
  outputs: number;
  /** `[rows, outputs]` */
  logits: Float64Array;
  /** `[rows, outputs]` */
  targets: Float64Array;
  /** `[rows]` */
  weights: Float64Array;
}

/** A convex loss of one row's outputs. */
interface RowLoss {
  /** Whether a factor of all outputs changes only how sure they are. */
  scales: boolean;
  /** The loss of `factor · logits`, without the row's weight. */
  loss(rows: ScoredRows, row: number, factor: number): number;
  /** Its derivative by the factor. */
  slope(rows: ScoredRows, row: number, factor: number): number;
  /** Mean of the diagonal of the Hessian. */
  curvature(rows: Pick<ScoredRows, "logits" | "outputs">, row: number): number;
}

/** log Σ eᶻ over `factor` times a row's outputs. */
function logOfSum({ logits, outputs }: Pick<ScoredRows, "logits" | "outputs">, row: number, factor: number): number {
  const at = row * outputs;
  let largest = Number.NEGATIVE_INFINITY;
  for (let k = at; k < at + outputs; k++) largest = Math.max(largest, factor * logits[k]!);
  let total = 0;
  for (let k = at; k < at + outputs; k++) total += Math.exp(factor * logits[k]! - largest);
  return largest + Math.log(total);
}

export const LINEAR_LOSSES: Readonly<Record<LinearLoss, RowLoss>> = {
  /** Cross-entropy of one choice: multinomial logistic regression. */
  softmax: {
    scales: true,
    loss(rows, row, factor) {
      const { logits, targets, outputs } = rows;
      const all = logOfSum(rows, row, factor);
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) sum += targets[k]! * (all - factor * logits[k]!);
      return sum;
    },
    slope(rows, row, factor) {
      const { logits, targets, outputs } = rows;
      let largest = Number.NEGATIVE_INFINITY;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) largest = Math.max(largest, factor * logits[k]!);
      let [total, mean, sum] = [0, 0, 0];
      for (let k = row * outputs; k < (row + 1) * outputs; k++) {
        const share = Math.exp(factor * logits[k]! - largest);
        total += share;
        mean += share * logits[k]!;
        sum += targets[k]! * logits[k]!;
      }
      return mean / total - sum;
    },
    curvature(rows, row) {
      const { logits, outputs } = rows;
      const all = logOfSum(rows, row, 1);
      let squares = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) squares += Math.exp(2 * (logits[k]! - all));
      return (1 - squares) / outputs;
    },
  },
  /** Cross-entropy of each single output: one logistic regression for each output. */
  sigmoid: {
    scales: true,
    loss({ logits, targets, outputs }, row, factor) {
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) {
        const z = factor * logits[k]!;
        sum += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - z * targets[k]!;
      }
      return sum;
    },
    slope({ logits, targets, outputs }, row, factor) {
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) {
        sum += (1 / (1 + Math.exp(-factor * logits[k]!)) - targets[k]!) * logits[k]!;
      }
      return sum;
    },
    curvature({ logits, outputs }, row) {
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) {
        sum += 1 / (2 + Math.exp(logits[k]!) + Math.exp(-logits[k]!));
      }
      return sum / outputs;
    },
  },
  /** Half the squared difference: ridge regression. */
  squared: {
    scales: false,
    loss({ logits, targets, outputs }, row, factor) {
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) sum += 0.5 * (factor * logits[k]! - targets[k]!) ** 2;
      return sum;
    },
    slope({ logits, targets, outputs }, row, factor) {
      let sum = 0;
      for (let k = row * outputs; k < (row + 1) * outputs; k++) sum += (factor * logits[k]! - targets[k]!) * logits[k]!;
      return sum;
    },
    curvature: () => 1,
  },
};
