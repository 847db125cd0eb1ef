import { argmax } from "../tasks/probabilities.ts";
import { drawFolds } from "../training/linear-head/folds.ts";
import { choosePenalty } from "../training/linear-head/linear-head.ts";
import { classRows, linearClassifier } from "./frozen-classifier.ts";

const FOLDS = 5;
/** How much likelier another class must be; found on 1,000 rows of AG News with `npm run bench:check`. */
const MARGIN = 0.5;

/** A row whose label is probably wrong. */
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
export function doubtfulLabels(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
): DoubtfulLabel[] {
  const rows = classRows(vectors, classes, outputs);
  const choice = choosePenalty(rows, "softmax", { strata: classes });
  const order = Int32Array.from(vectors.keys());
  const [foldOf] = drawFolds(order, { strata: classes }, { folds: FOLDS, draws: 1 });
  const found = new Map<number, Float32Array>();
  for (let fold = 0; fold < FOLDS; fold++) {
    const train = order.filter((row) => foldOf![row] !== fold);
    const held = order.filter((row) => foldOf![row] === fold);
    if (held.length === 0) continue;
    const own = Array.from(train, (row) => classes[row]!);
    const classifier = linearClassifier(
      Array.from(train, (row) => vectors[row]!),
      own,
      outputs,
      choice,
    );
    for (const row of held) found.set(row, classifier(vectors[row]!));
  }
  return [...found]
    .map(([row, shares]) => {
      const instead = argmax(shares);
      return { row, instead, given: shares[classes[row]!]!, other: shares[instead]! };
    })
    .filter(({ given, other }) => other - given >= MARGIN)
    .sort((a, b) => b.other - b.given - (a.other - a.given));
}
