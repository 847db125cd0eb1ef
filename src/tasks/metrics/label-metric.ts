import type { Example } from "../example.ts";
import type { Metric } from "../task-kind.ts";

export const labelsOf = (all: readonly Pick<Example, "label">[]): number[] => all.map(({ label }) => label!);

/** A metric of kinds that predict one label or number for each example. */
export const ofLabels = (compute: (found: number[], truth: number[]) => number, higherIsBetter = true): Metric => ({
  higherIsBetter,
  compute: (predictions, examples) => compute(labelsOf(predictions), labelsOf(examples)),
});
