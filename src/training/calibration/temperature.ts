import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { LINEAR_LOSSES } from "../linear-head/linear-losses.ts";

/** Rows of outputs with their targets. */
export interface ScoredRows {
  outputs: number;
  /** `[rows, outputs]` */
  logits: Float64Array;
  /** `[rows, outputs]` */
  targets: Float64Array;
  /** `[rows]` */
  weights: Float64Array;
}

/** Weighted loss of each row if outputs are multiplied by `factor`. */
export function rowLosses({ outputs, logits, targets, weights }: ScoredRows, loss: LinearLoss, factor: number) {
  const scaled = logits.map((each) => factor * each);
  return weights.map(
    (weight, row) => weight * LINEAR_LOSSES[loss].loss(scaled, row * outputs, targets, row * outputs, outputs),
  );
}

/** Bound on the absolute logarithm of a factor. */
const LARGEST = 6;
const STEPS = 50;
/** Weight of the penalty on the factor's squared logarithm: a few rows that are all right do not determine a factor. */
const PRIOR = 1;
/** Penalty for each row to which outputs are scaled already: half the curvature of a row's loss, which is 0.4 on SST-2 and AG News. */
const KNOWN_PRIOR = 0.2;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Finds the factor of outputs that minimizes their loss (temperature scaling, Guo et al. 2017) by golden-section search, as the loss
 * is convex in it.
 * @param known number of other rows to which the outputs are scaled already
 */
export function bestFactor(rows: ScoredRows, loss: LinearLoss, known = 0): number {
  if (!LINEAR_LOSSES[loss].scales) return 1;
  const prior = PRIOR + KNOWN_PRIOR * known;
  const cost = (logarithm: number): number =>
    rowLosses(rows, loss, Math.exp(logarithm)).reduce((sum, each) => sum + each, prior * logarithm * logarithm);
  let [from, to] = [-LARGEST, LARGEST];
  let [low, high] = [to - GOLDEN * (to - from), from + GOLDEN * (to - from)];
  let [atLow, atHigh] = [cost(low), cost(high)];
  for (let i = 0; i < STEPS; i++) {
    if (atLow <= atHigh) {
      [to, high, atHigh] = [high, low, atLow];
      low = to - GOLDEN * (to - from);
      atLow = cost(low);
    } else {
      [from, low, atLow] = [low, high, atHigh];
      high = from + GOLDEN * (to - from);
      atHigh = cost(high);
    }
  }
  return Math.exp((from + to) / 2);
}
