import { Turns } from "../../runtime/turns.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { rowLoss, rowSlope, type ScoredRows, scales } from "../linear-head/linear-losses.ts";

export const rowLosses = (rows: ScoredRows, loss: LinearLoss, factor: number): Float64Array =>
  rows.weights.map((weight, row) => weight * rowLoss(loss, rows, row, factor));

const LARGEST = 6;
const MOST_STEPS = 100;
const NEAR = 1e-7;
/** Weight of the penalty on the factor's squared logarithm: a few rows that are all right do not determine a factor. */
const PRIOR = 1;
/** Penalty for each row to which outputs are scaled already: half the curvature of a row's loss, which is 0.4 on SST-2 and AG News. */
const KNOWN_PRIOR = 0.2;

/**
 * Finds the factor of outputs that minimizes their loss (temperature scaling, Guo et al. 2017). The search for the zero of the loss's
 * slope is false position with the Illinois rule.
 */
export async function bestFactor(
  rows: ScoredRows,
  loss: LinearLoss,
  { known = 0, turns = new Turns() }: { known?: number; turns?: Turns } = {},
): Promise<number> {
  if (!scales(loss)) return 1;
  const prior = PRIOR + KNOWN_PRIOR * known;
  const slopeAt = async (logarithm: number): Promise<number> => {
    const factor = Math.exp(logarithm);
    let sum = 0;
    await turns.each(rows.weights.length, rows.outputs, (row) => {
      sum += rows.weights[row]! * rowSlope(loss, rows, row, factor);
    });
    return factor * sum + 2 * prior * logarithm;
  };
  let [from, to] = [-LARGEST, LARGEST];
  let [atFrom, atTo] = [await slopeAt(from), await slopeAt(to)];
  if (atFrom >= 0) return Math.exp(from);
  if (atTo <= 0) return Math.exp(to);
  let side = 0;
  let middle = 0;
  for (let i = 0; i < MOST_STEPS; i++) {
    const before = middle;
    middle = i === 0 ? 0 : (from * atTo - to * atFrom) / (atTo - atFrom);
    if (i > 0 && Math.abs(middle - before) < NEAR) break;
    const found = await slopeAt(middle);
    if (found === 0) break;
    const own = Math.sign(found);
    // An end that stays twice counts half, so that it moves, too.
    if (own > 0) {
      [to, atTo] = [middle, found];
      if (side === own) atFrom /= 2;
    } else {
      [from, atFrom] = [middle, found];
      if (side === own) atTo /= 2;
    }
    side = own;
  }
  return Math.exp(middle);
}
