import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { LINEAR_LOSSES } from "../linear-head/linear-losses.ts";

/** Rows of outputs and what they should have been. */
export interface ScoredRows {
  outputs: number;
  /** `[rows, outputs]` */
  logits: Float64Array;
  /** `[rows, outputs]` */
  targets: Float64Array;
  /** `[rows]` */
  weights: Float64Array;
}

/** The loss of each row, by its weight, where outputs are multiplied by `factor`. */
export function rowLosses({ outputs, logits, targets, weights }: ScoredRows, loss: LinearLoss, factor: number) {
  const scaled = logits.map((each) => factor * each);
  return weights.map(
    (weight, row) => weight * LINEAR_LOSSES[loss].loss(scaled, row * outputs, targets, row * outputs, outputs),
  );
}

/** Logarithms between which factors lie. */
const LARGEST = 6;
const STEPS = 50;
/** What the square of a factor's logarithm costs beside the rows' losses: few rows that are all right say nothing of a factor. */
const PRIOR = 1;
/** The same for each row by which outputs were scaled before: half of what a row's loss curves by, 0.4 on SST-2 and AG News. */
const KNOWN_PRIOR = 0.2;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * The factor of outputs by which their loss is least (temperature scaling, Guo et al. 2017): by golden sections, as it is convex.
 * @param known other rows, to which the outputs were scaled before
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
