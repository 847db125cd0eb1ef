import { z } from "zod";
import type { TaskData } from "../example.ts";
import type { TaskKind } from "../task-kind.ts";

export const classOptions = z.object({
  classWeights: z
    .literal("balanced")
    .optional()
    .describe("weight classes so that rare ones count as much as common ones"),
});

/**
 * Weights `[classes]` with which every class counts equally: `n / (k · count)` for `n` labels of `k` classes, as in
 * scikit-learn's `class_weight="balanced"`. A class without examples has weight 0 and does not count in `k`.
 * @param counts labels of each class
 */
export function balancedClassWeights(counts: readonly number[]): number[] {
  const present = counts.filter((count) => count > 0).length;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (count > 0 ? all / (present * count) : 0));
}

export function classWeightsOf(
  { classesOf }: Pick<TaskKind, "classesOf">,
  { labels, train, options }: Pick<TaskData, "labels" | "train" | "options">,
): number[] | undefined {
  if (!classesOf || options?.classWeights !== "balanced") return undefined;
  const counts = new Array<number>(labels.length).fill(0);
  for (const example of train) for (const label of classesOf(example)) counts[label]! += 1;
  return balancedClassWeights(counts);
}
