import { bestFactor, rowLosses } from "../calibration/temperature.ts";
import { Design } from "./design.ts";
import { canonicalOrder, type FeatureRows } from "./feature-rows.ts";
import { drawFolds, type RowGroups, sampleRows } from "./folds.ts";
import type { Fit, LinearSolver } from "./linear-solver.ts";

export interface CrossValidated {
  /** λ of features that are centred and scaled (see {@link Design}). */
  penalty: number;
  factor: number;
  rows: Int32Array;
  /** Their outputs, `[rows, outputs]`, times the factor: a mean over draws. */
  logits: Float64Array;
  losses: Float64Array;
}

export interface ValidationOptions {
  penalties?: readonly number[];
  /** Takes all rows, not a sample, and penalises each fit by its share of them: each row counts as much as in a fit of all. */
  ofAll?: boolean;
  onFit?: ((done: number, of: number) => void | Promise<void>) | undefined;
}

/** λ in half decades, strongest first. For 8 to 500 rows per class of AG News, the best is between 0.3 and 3. */
export const PENALTIES: readonly number[] = Array.from({ length: 10 }, (_, i) => 10 ** (1.5 - i / 2));

const FOLDS = 5;
/** Rows to hold out over all draws of folds: if there are fewer rows, the folds are drawn several times. */
const LOOKED_AT = 300;
const COMPARED_ROWS = 1000;
const COMPARED_ROWS_AN_OUTPUT = 5;
const COMPARED_PRODUCTS = 2 ** 30;
const COMPARING = 1e-3;

/** Returns the number of rows that are enough to compare penalties and features: the rule of choice has the standard error of their losses. */
export const comparedRows = (outputs: number): number => Math.max(COMPARED_ROWS, COMPARED_ROWS_AN_OUTPUT * outputs);

/**
 * Scores penalties by repeated, stratified cross-validation, from the strongest on, each fit from the one before (a path of
 * solutions, Friedman et al. 2010), until the least loss is two behind. Losses are those at the best factor: a strong penalty must not
 * lose by its caution alone.
 */
export async function crossValidate(
  solver: LinearSolver,
  given: FeatureRows,
  groups: RowGroups,
  { penalties = PENALTIES, ofAll = false, onFit }: ValidationOptions = {},
): Promise<CrossValidated[]> {
  const { width, outputs } = given;
  const most = ofAll ? given.rows : Math.min(comparedRows(outputs), Math.floor(COMPARED_PRODUCTS / (width * outputs)));
  const order = sampleRows(await canonicalOrder(given, solver.turns), groups, most);
  const draws = drawFolds(order, groups, {
    folds: FOLDS,
    draws: Math.max(1, Math.round(LOOKED_AT / order.length)),
  });
  const held = Int32Array.from(order.keys()).filter((place) => draws[0]![place]! >= 0);
  if (held.length === 0) return [];
  const design = await Design.of(given, order, solver.products, solver.turns);
  const splits = draws.flatMap((foldOf) => splitsOf(design, foldOf));
  let done = 0;
  const tell = () => onFit?.(done, splits.length * penalties.length);
  const onEnd = () => {
    done += 1;
  };
  let starts: Float64Array[] = splits.map(() => new Float64Array(outputs * design.width));
  await tell();
  const tried: CrossValidated[] = [];
  let least = Number.POSITIVE_INFINITY;
  let rises = 0;
  for (const penalty of penalties) {
    const fits = splits.map(
      ({ weights, share }, i): Fit => ({
        weights,
        penalty: ofAll ? penalty * share : penalty,
        start: starts[i]!,
      }),
    );
    starts = await solver.fit(design, fits, { tolerance: COMPARING, onFit: onEnd, onPass: tell });
    const found = await heldOutOutputs(solver, design, splits, starts);
    const scored = await scoreOf(solver, design, held, found);
    const sum = scored.losses.reduce((total, each) => total + each, 0);
    rises = sum < least ? 0 : rises + 1;
    least = Math.min(least, sum);
    tried.push({ penalty, ...scored });
    if (rises === 2) break;
  }
  return tried;
}

interface Split {
  /** `[rows]`: weights of the rows that train, 0 for others. */
  weights: Float64Array;
  share: number;
  held: Int32Array;
}

function splitsOf({ rows, weights }: Design, foldOf: Int32Array): Split[] {
  const places = Int32Array.from({ length: rows }, (_, place) => place);
  return Array.from({ length: FOLDS }, (_, fold) => {
    const held = places.filter((place) => foldOf[place] === fold);
    return {
      weights: weights.map((weight, place) => (foldOf[place] === fold ? 0 : weight)),
      share: 1 - held.length / rows,
      held,
    };
  }).filter(({ held }) => held.length > 0);
}

/** Outputs by place, `[rows, outputs]`, from fits that did not see them: a mean over draws. */
async function heldOutOutputs(
  solver: LinearSolver,
  design: Design,
  splits: readonly Split[],
  fits: readonly Float64Array[],
): Promise<Float64Array> {
  const { rows, outputs } = design;
  const found = new Float64Array(rows * outputs);
  const draws = new Int32Array(rows);
  for (const [i, { held }] of splits.entries()) {
    const logits = await solver.logits(design, fits[i]!);
    for (const place of held) {
      draws[place]!++;
      for (let j = place * outputs; j < (place + 1) * outputs; j++) found[j]! += logits[j]!;
    }
  }
  return found.map((sum, j) => sum / Math.max(1, draws[Math.floor(j / outputs)]!));
}

async function scoreOf(
  { loss, turns }: LinearSolver,
  design: Design,
  held: Int32Array,
  found: Float64Array,
): Promise<Omit<CrossValidated, "penalty">> {
  const { outputs, weights, order } = design;
  const logits = new Float64Array(held.length * outputs);
  const targets = new Float64Array(held.length * outputs);
  held.forEach((place, row) => {
    logits.set(found.subarray(place * outputs, (place + 1) * outputs), row * outputs);
    design.forTargets(place, (output, value) => {
      targets[row * outputs + output] = value;
    });
  });
  const rows = { outputs, logits, targets, weights: Float64Array.from(held, (place) => weights[place]!) };
  const factor = await bestFactor(rows, loss, { turns });
  return {
    factor,
    rows: Int32Array.from(held, (place) => order[place]!),
    logits: logits.map((each) => factor * each),
    losses: rowLosses(rows, loss, factor),
  };
}
