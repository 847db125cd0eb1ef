import { z } from "zod";
import type { TaskData } from "../example.ts";
import type { TaskKind } from "../task-kind.ts";

/** Options of kinds whose examples have classes. */
export const classOptions = z.object({
  classWeights: z
    .literal("balanced")
    .optional()
    .describe("weight classes so that rare ones count as much as common ones"),
});

/**
 * Weights `[classes]` with which every class counts equally: `n / (k · count)` for `n` labels of `k` classes, as in
 * scikit-learn's `class_weight="balanced"`. A class without examples has weight 0 and does not count in `k`.
 */
export function balancedClassWeights(labels: readonly number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]! += 1;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count > 0 ? labels.length / (present * count) : 0));
}

/** Balanced class weights for a task, if its options request them. */
export function classWeightsOf(
  { classesOf }: Pick<TaskKind, "classesOf">,
  { labels, train, options }: Pick<TaskData, "labels" | "train" | "options">,
): number[] | undefined {
  if (!classesOf || options?.classWeights !== "balanced") return undefined;
  return balancedClassWeights(train.flatMap(classesOf), labels.length);
}
