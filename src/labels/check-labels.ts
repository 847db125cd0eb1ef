import type { Runtime } from "../runtime/session.ts";
import { argmax } from "../tasks/probabilities.ts";
import { drawFolds } from "../training/linear-head/folds.ts";
import { choosePenalty } from "../training/linear-head/linear-head.ts";
import { LinearSolver } from "../training/linear-head/linear-solver.ts";
import { classRows, linearClassifier } from "./frozen-classifier.ts";

const FOLDS = 5;
/** How much likelier another class must be; found on 1,000 rows of AG News with `npm run bench:check`. */
const MARGIN = 0.5;

export interface DoubtfulLabel {
  row: number;
  /** Index of the class of similar rows. */
  instead: number;
  /** Probabilities of the given label and of the other, by classifiers that did not see the row. */
  given: number;
  other: number;
}

/**
 * Finds rows whose labels are probably wrong: a classifier that did not see the row is much surer of another class. Its probabilities are
 * calibrated by cross-validation, too.
 * @param vectors of the texts, by a frozen encoder
 * @param classes index of each row's label
 * @param outputs number of labels
 * @returns the most contradicted rows first
 */
export async function doubtfulLabels(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
  runtime: Runtime,
): Promise<DoubtfulLabel[]> {
  const found = await LinearSolver.with(runtime, { loss: "softmax", outputs }, (solver) =>
    heldOutShares(solver, vectors, classes, outputs),
  );
  return [...found]
    .map(([row, shares]) => {
      const instead = argmax(shares);
      return { row, instead, given: shares[classes[row]!]!, other: shares[instead]! };
    })
    .filter(({ given, other }) => other - given >= MARGIN)
    .sort((a, b) => b.other - b.given - (a.other - a.given));
}

/** Probabilities of each row's classes, by row, from classifiers that did not see it. */
async function heldOutShares(
  solver: LinearSolver,
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
): Promise<Map<number, Float32Array>> {
  const choice = await choosePenalty(solver, classRows(vectors, classes, outputs), { strata: classes });
  const order = Int32Array.from(vectors.keys());
  const [foldOf] = drawFolds(order, { strata: classes }, { folds: FOLDS, draws: 1 });
  const found = new Map<number, Float32Array>();
  for (let fold = 0; fold < FOLDS; fold++) {
    const train = order.filter((row) => foldOf![row] !== fold);
    const held = order.filter((row) => foldOf![row] === fold);
    if (held.length === 0) continue;
    const own = Array.from(train, (row) => classes[row]!);
    const seen = Array.from(train, (row) => vectors[row]!);
    const classifier = await linearClassifier(solver, seen, own, outputs, choice);
    for (const row of held) found.set(row, classifier(vectors[row]!));
  }
  return found;
}
