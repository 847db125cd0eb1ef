import { sum } from "../dense.ts";
import { type CrossValidated, crossValidate, type ValidationOptions } from "./cross-validation.ts";
import { Design, type LinearFunction } from "./design.ts";
import { canonicalOrder, type FeatureRows } from "./feature-rows.ts";
import { type RowGroups, sampleRows } from "./folds.ts";
import { scales } from "./linear-losses.ts";
import type { LinearSolver, SolveOptions } from "./linear-solver.ts";

/** The penalty that did best for 8 to 500 rows per class of AG News. */
const USUAL_PENALTY = 1;
/**
 * With this many classes, a row must be told from many others, which takes larger weights: at the usual penalty, 2,000 classes of 3 rows
 * score 0.003, at this one 0.54 (docs/linear-head.md).
 */
const MANY_CLASSES = 50;
const PENALTY_OF_MANY_CLASSES = 0.01;

/** Returns the penalty of a fit if none can be compared, because no class has two rows in the sample. */
const usualPenalty = ({ outputs }: Pick<FeatureRows, "outputs">, loss: LinearSolver["loss"]): number =>
  loss === "softmax" && outputs >= MANY_CLASSES ? PENALTY_OF_MANY_CLASSES : USUAL_PENALTY;

export const uncompared = (penalty: number): CrossValidated => ({
  penalty,
  factor: 1,
  rows: new Int32Array(),
  logits: new Float64Array(),
  losses: new Float64Array(),
});

/**
 * Chooses the strongest penalty whose held-out loss is within a standard error of the least (Hastie, Tibshirani and Friedman, "The
 * Elements of Statistical Learning", 7.10): with few rows, the position of the minimum is mostly chance.
 */
export async function choosePenalty(
  solver: LinearSolver,
  rows: FeatureRows,
  groups: RowGroups,
  options: Pick<ValidationOptions, "onFit"> = {},
): Promise<CrossValidated> {
  const tried = await crossValidate(solver, rows, groups, options);
  if (tried.length === 0) return uncompared(usualPenalty(rows, solver.loss));
  const best = tried.reduce((least, each) => (sum(each.losses) < sum(least.losses) ? each : least));
  return tried.find((each) => !isWorse(each.losses, best.losses))!;
}

/** Limit on the rows whose factor is found by cross-validation of all of them. With more rows, the compared part gives the factor. */
const SCALED_ROWS = 2000;
/** Fewest rows per output for which a fit without a fifth of the rows resembles a fit of all rows. */
const ROWS_AN_OUTPUT = 5;

/** Returns the number of rows by which {@link rescaled} finds the factor of a fit of `rows` rows; 0 if it keeps the factor. */
export const scaledBy = ({ rows, outputs }: Pick<FeatureRows, "rows" | "outputs">): number =>
  rows >= ROWS_AN_OUTPUT * outputs && rows <= SCALED_ROWS ? rows : 0;

/**
 * Returns a choice with the factor that suits a fit of all rows. Fits of fewer rows at the same penalty are less confident, so their
 * factor is too large for a fit of all.
 */
export async function rescaled(
  solver: LinearSolver,
  rows: FeatureRows,
  { penalty, factor }: Pick<CrossValidated, "penalty" | "factor">,
  groups: RowGroups,
  onFit?: ValidationOptions["onFit"],
): Promise<Pick<CrossValidated, "penalty" | "factor">> {
  const isAsked = scales(solver.loss) && scaledBy(rows) > 0;
  const [found] = isAsked
    ? await crossValidate(solver, rows, groups, { penalties: [penalty], ofAll: true, onFit })
    : [];
  return { penalty, factor: found?.factor ?? factor };
}

export function isWorse(losses: Float64Array, others: Float64Array): boolean {
  const rows = losses.length;
  const differences = losses.map((each, row) => each - others[row]!);
  const mean = sum(differences) / rows;
  const variance = differences.reduce((total, each) => total + (each - mean) ** 2, 0) / Math.max(1, rows - 1);
  return mean > Math.sqrt(variance / rows);
}

const MOST_NUMBERS = 2 ** 26;
const MOST_PRODUCTS = 2 ** 34;
const FEWEST_AN_OUTPUT = 3;

/** Returns the most rows that a fit takes. If there are more, each class gives its share. */
export const mostRows = ({ width, outputs }: Pick<FeatureRows, "width" | "outputs">): number =>
  Math.floor(Math.max(FEWEST_AN_OUTPUT * outputs, Math.min(MOST_NUMBERS / width, MOST_PRODUCTS / (width * outputs))));

/**
 * Size of the gradient, as a share of the rows' weights, at which a fit ends. With thousands of classes, even a pass over few rows has many
 * products, and each digit takes minutes.
 */
const CONVERGED = 1e-5;
const CONVERGED_OF_MANY_CLASSES = 1e-3;

/**
 * Fits the linear function of least penalised loss and multiplies its outputs by the factor. The result has the same bits for any
 * order of the rows.
 */
export async function fitLinear(
  solver: LinearSolver,
  given: FeatureRows,
  { penalty, factor }: Pick<CrossValidated, "penalty" | "factor">,
  groups: RowGroups = {},
  onPass?: SolveOptions["onPass"],
): Promise<LinearFunction> {
  const order = sampleRows(await canonicalOrder(given, solver.turns), groups, mostRows(given));
  const design = await Design.of(given, order, solver.products, solver.turns);
  const start = new Float64Array(given.outputs * design.width);
  const isLong = design.rows * start.length > 2 * MOST_PRODUCTS;
  const tolerance = isLong ? CONVERGED_OF_MANY_CLASSES : CONVERGED;
  const [found] = await solver.fit(design, [{ weights: design.weights, penalty, start }], { tolerance, onPass });
  const { weight, bias } = await design.functionOf(found!, solver.products);
  return { weight: weight.map((each) => factor * each), bias: bias.map((each) => factor * each) };
}
