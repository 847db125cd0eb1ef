import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { type CrossValidated, crossValidate } from "./cross-validation.ts";
import { canonicalOrder, Design, type FeatureRows, type LinearFunction } from "./design.ts";
import { type RowGroups, sampleRows } from "./folds.ts";
import { LINEAR_LOSSES } from "./linear-losses.ts";
import { minimise } from "./newton.ts";

/** The penalty that did best for 8 to 500 rows a class of AG News. */
const USUAL_PENALTY = 1;

/** A penalty that nothing was compared with. */
export const uncompared = (penalty: number): CrossValidated => ({
  penalty,
  factor: 1,
  rows: new Int32Array(),
  logits: new Float64Array(),
  losses: new Float64Array(),
});

/**
 * The strongest penalty whose held-out loss is within a standard error of the least (Hastie, Tibshirani and Friedman, "The
 * Elements of Statistical Learning", 7.10): with few rows the least says little.
 */
export function choosePenalty(rows: FeatureRows, loss: LinearLoss, groups: RowGroups): CrossValidated {
  const tried = crossValidate(rows, loss, groups);
  if (tried.length === 0) return uncompared(USUAL_PENALTY);
  const best = tried.reduce((least, each) => (sum(each.losses) < sum(least.losses) ? each : least));
  return tried.find((each) => !isWorse(each.losses, best.losses))!;
}

/** Rows of a fit up to which its factor is found by cross-validation of all of them; of more, a part that is held out says enough. */
const SCALED_ROWS = 2000;
/** Rows for each output from which on a fit without a fifth of them is like one of all: of a class's two or three it lacks too much. */
const ROWS_AN_OUTPUT = 5;

/** Rows by which the factor of a fit of so many was found, as far as it suits rows that the fit did not see. */
export function scaledBy(fit: Pick<FeatureRows, "rows" | "width" | "outputs">): number {
  const { rows, outputs } = fit;
  const isEnough = rows >= ROWS_AN_OUTPUT * outputs;
  return isEnough && rows <= Math.min(SCALED_ROWS, mostRows(fit)) ? rows : 0;
}

/**
 * A choice with the factor of a fit of all rows. Fits of fewer rows at the same penalty are less sure, so that their factor is too
 * large for it.
 */
export function rescaled(
  rows: FeatureRows,
  loss: LinearLoss,
  { penalty, factor }: Pick<CrossValidated, "penalty" | "factor">,
  groups: RowGroups,
): Pick<CrossValidated, "penalty" | "factor"> {
  const isAsked = LINEAR_LOSSES[loss].scales && scaledBy(rows) > 0;
  const [found] = isAsked ? crossValidate(rows, loss, groups, [penalty], true) : [];
  return { penalty, factor: found?.factor ?? factor };
}

/** Whether losses of rows are larger than others' of the same rows, by more than a standard error of their mean difference. */
export function isWorse(losses: Float64Array, others: Float64Array): boolean {
  const rows = losses.length;
  const differences = losses.map((each, row) => each - others[row]!);
  const mean = sum(differences) / rows;
  const variance = differences.reduce((total, each) => total + (each - mean) ** 2, 0) / Math.max(1, rows - 1);
  return mean > Math.sqrt(variance / rows);
}

/** Most numbers of rows, and of products of a pass over them, that a fit takes: others are left out, of each class its share. */
const MOST_NUMBERS = 2 ** 25;
const MOST_PRODUCTS = 2 ** 28;
const mostRows = ({ width, outputs }: Pick<FeatureRows, "width" | "outputs">): number =>
  Math.floor(Math.min(MOST_NUMBERS / width, MOST_PRODUCTS / (width * outputs)));
const CONVERGED = 1e-8;

/**
 * The linear function of least penalised loss, in float64 and to the bit the same in whatever order rows come; its outputs are
 * multiplied by the factor.
 */
export function fitLinear(
  given: FeatureRows,
  loss: LinearLoss,
  { penalty, factor }: Pick<CrossValidated, "penalty" | "factor">,
  groups: RowGroups = {},
): LinearFunction {
  const design = new Design(given, sampleRows(canonicalOrder(given), groups, mostRows(given)));
  const start = new Float64Array(given.outputs * design.width);
  const { weight, bias } = design.functionOf(minimise(design, { loss, penalty, tolerance: CONVERGED }, start));
  return { weight: weight.map((each) => factor * each), bias: bias.map((each) => factor * each) };
}

const sum = (values: Float64Array): number => values.reduce((total, each) => total + each, 0);
