import type { Example, TaskData } from "./example.ts";
import { findTaskKind, objectiveOf } from "./task-kinds.ts";

/**
 * Cross-entropy loss of a model that knows nothing but how frequent each class is: the entropy of the classes in nats. Undefined
 * for kinds whose examples do not each have one class.
 */
export function chanceLoss(
  task: Pick<TaskData, "kind" | "labels" | "options">,
  examples: Iterable<Example>,
): number | undefined {
  const { stratumOf } = findTaskKind(task.kind);
  if (!stratumOf || objectiveOf(task).linearLoss !== "softmax") return undefined;
  const counts = task.labels.map(() => 0);
  for (const example of examples) counts[stratumOf(example)]! += 1;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => (count > 0 ? sum - (count / all) * Math.log(count / all) : sum), 0);
}
