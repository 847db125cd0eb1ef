import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { bestFactor, rowLosses } from "../calibration/temperature.ts";
import { canonicalOrder, Design, type FeatureRows } from "./design.ts";
import { drawFolds, type RowGroups, sampleRows } from "./folds.ts";
import { minimise, outputsOf } from "./newton.ts";

/** How a fit does on rows that it did not see. */
export interface CrossValidated {
  /** λ of features that are centred and scaled (see {@link Design}). */
  penalty: number;
  /** What outputs are multiplied by, so that the loss of held-out rows is least. */
  factor: number;
  /** Numbers of the rows that were held out at some time. */
  rows: Int32Array;
  /** Their outputs, `[rows, outputs]`, times the factor: a mean over draws. */
  logits: Float64Array;
  /** Their losses, each by its weight. */
  losses: Float64Array;
}

/** λ, strongest first: half decades. The best stood between 0.3 and 3 for 8 to 500 rows a class of AG News. */
export const PENALTIES: readonly number[] = Array.from({ length: 10 }, (_, i) => 10 ** (1.5 - i / 2));

const FOLDS = 5;
/** Rows looked at over all draws of folds, so that few rows are drawn more than once. */
const LOOKED_AT = 300;
/** Rows that are enough to compare penalties and features by. */
const COMPARED_ROWS = 1000;
/** Most coefficients of rows, `rows × features × outputs`, of one fit that only compares. */
const COMPARED_SIZE = 2 ** 24;
/** Near enough to the optimum to compare. */
const COMPARING = 1e-3;

/**
 * Scores penalties by repeated, stratified cross-validation, from the strongest on, each fit from the one before (a path of
 * solutions, Friedman et al. 2010), until the least loss is two behind. Losses are those at the best factor: a strong penalty is not
 * to lose by its caution alone.
 * @param ofAll whether all rows are looked at, not a sample, and each fit is penalised by its share of them: as much a row as one of all
 * @returns of each that was tried, in that order; none where no row can be held out, as each is its class's only one
 */
export function crossValidate(
  given: FeatureRows,
  loss: LinearLoss,
  groups: RowGroups,
  penalties: readonly number[] = PENALTIES,
  ofAll = false,
): CrossValidated[] {
  const { width, outputs } = given;
  const most = ofAll ? given.rows : Math.min(COMPARED_ROWS, Math.floor(COMPARED_SIZE / (width * outputs)));
  const design = new Design(given, sampleRows(canonicalOrder(given), groups, most));
  const draws = drawFolds(design.order, groups, {
    folds: FOLDS,
    draws: Math.max(1, Math.round(LOOKED_AT / design.rows)),
  });
  const splits = draws.flatMap(splitsOf);
  const held = Int32Array.from(design.order.keys()).filter((place) => draws[0]![place]! >= 0);
  if (held.length === 0) return [];
  const starts = splits.map(() => new Float64Array(outputs * design.width));
  const tried: CrossValidated[] = [];
  let least = Number.POSITIVE_INFINITY;
  let rises = 0;
  for (const penalty of penalties) {
    const found = heldOutOutputs(design, splits, starts, { loss, penalty, ofAll, draws: draws.length });
    const scored = scoreOf(design, held, found, loss);
    const sum = scored.losses.reduce((total, each) => total + each, 0);
    rises = sum < least ? 0 : rises + 1;
    least = Math.min(least, sum);
    tried.push({ penalty, ...scored });
    if (rises === 2) break;
  }
  return tried;
}

interface Split {
  train: Int32Array;
  held: Int32Array;
}

function splitsOf(foldOf: Int32Array): Split[] {
  const places = foldOf.map((_, place) => place);
  return Array.from({ length: FOLDS }, (_, fold) => ({
    train: places.filter((place) => foldOf[place] !== fold),
    held: places.filter((place) => foldOf[place] === fold),
  })).filter(({ held }) => held.length > 0);
}

/** Outputs by place, `[rows, outputs]`, from fits that did not see them. @param starts of each split's fit, which takes its place */
function heldOutOutputs(
  design: Design,
  splits: readonly Split[],
  starts: Float64Array[],
  { loss, penalty, ofAll, draws }: { loss: LinearLoss; penalty: number; ofAll: boolean; draws: number },
): Float64Array {
  const found = new Float64Array(design.rows * design.outputs);
  splits.forEach(({ train, held }, i) => {
    const own = ofAll ? (penalty * train.length) / design.rows : penalty;
    starts[i] = minimise(design, { loss, penalty: own, tolerance: COMPARING, subset: train }, starts[i]!);
    const outputs = new Float64Array(held.length * design.outputs);
    outputsOf(design, held, starts[i]!, outputs);
    held.forEach((place, row) => {
      for (let k = 0; k < design.outputs; k++) {
        found[place * design.outputs + k]! += outputs[row * design.outputs + k]! / draws;
      }
    });
  });
  return found;
}

function scoreOf(
  { outputs, targets, weights, order }: Design,
  held: Int32Array,
  found: Float64Array,
  loss: LinearLoss,
): Omit<CrossValidated, "penalty"> {
  const rowsOf = (values: Float64Array): Float64Array => {
    const rows = new Float64Array(held.length * outputs);
    held.forEach((place, row) => {
      rows.set(values.subarray(place * outputs, (place + 1) * outputs), row * outputs);
    });
    return rows;
  };
  const rows = {
    outputs,
    logits: rowsOf(found),
    targets: rowsOf(targets),
    weights: Float64Array.from(held, (place) => weights[place]!),
  };
  const factor = bestFactor(rows, loss);
  return {
    factor,
    rows: Int32Array.from(held, (place) => order[place]!),
    logits: rows.logits.map((each) => factor * each),
    losses: rowLosses(rows, loss, factor),
  };
}
