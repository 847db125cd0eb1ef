import { UserError } from "../../errors.ts";
import type { TaskData } from "../example.ts";
import { findTaskKind } from "../task-kinds.ts";

/**
 * Weights `[classes]` under which every class counts alike: `n / (k · count)` for `n` labels of `k` classes, as
 * scikit-learn's `class_weight="balanced"`. A class without examples has weight 0 and is not among the `k`.
 */
export function balancedClassWeights(labels: readonly number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]! += 1;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count > 0 ? labels.length / (present * count) : 0));
}

/** Such weights for a task. @throws UserError where its kind has no classes to weigh. */
export function classWeightsOf({ kind, labels, train }: Pick<TaskData, "kind" | "labels" | "train">): number[] {
  const { classesOf } = findTaskKind(kind);
  if (!classesOf) throw new UserError(`--class-weights weighs classes, of which ${kind} has none; leave it out`);
  return balancedClassWeights(train.flatMap(classesOf), labels.length);
}
