import type { EvaluationRecord } from "../training-records.ts";

const NO_CHANGE = 1e-4;

export function learningNotes(evaluations: readonly EvaluationRecord[], alike: boolean): string[] {
  const losses = evaluations.map(({ loss }) => loss);
  const least = losses.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = losses.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const notes: string[] = [];
  if (evaluations[0]?.step === 0 && losses.length > 1 && most - least <= NO_CHANGE * Math.abs(most)) {
    notes.push(
      `the validation loss did not move (${least.toPrecision(5)} to ${most.toPrecision(5)}), so nothing was learned: raise the learning rate, or train longer`,
    );
  }
  if (alike) {
    notes.push(
      "the model predicts the same for all validation examples: it has not learned to distinguish them; train longer, raise the learning rate, or look at the labels",
    );
  }
  return notes;
}
