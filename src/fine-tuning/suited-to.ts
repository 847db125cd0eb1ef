import { MEAN_POOLING, type Pooling } from "../models/pooling.ts";
import type { TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { SuitedTo } from "./training-options.ts";

/** Limit on examples for contrastive training by default: with more, cross-entropy learned more in less time. */
const MOST_EXAMPLES = 400;

/**
 * Whether a task's classes are best learned by contrast: few single texts with one class each, and a model that was trained to embed
 * sentences (SetFit, Tunstall et al. 2022, arXiv 2209.11055).
 */
function suitsContrast(pooling: Pooling, task: TaskData): boolean {
  const { head, stratumOf, objective } = findTaskKind(task.kind);
  const isSingle = task.train.every(({ textPair }) => textPair === undefined);
  const fits = head === "sequence" && objective.linearLoss === "softmax" && stratumOf !== undefined && isSingle;
  return fits && pooling !== MEAN_POOLING && task.train.length <= MOST_EXAMPLES;
}

/**
 * Describes the examples and the model to the settings that depend on them.
 * @param isNew whether the run starts without an adapter
 * @param pooling the model's; only a model that was trained to embed texts has its own
 */
export const suitedTo = (task: TaskData, isNew: boolean, pooling = MEAN_POOLING): SuitedTo => ({
  kind: findTaskKind(task.kind),
  size: { examples: task.train.length, classes: task.labels.length },
  longest: task.train.reduce<number | undefined>(
    (most, { sound }) => (sound ? Math.max(sound.tokens, most ?? 0) : most),
    undefined,
  ),
  suitsContrast: isNew && suitsContrast(pooling, task),
});
