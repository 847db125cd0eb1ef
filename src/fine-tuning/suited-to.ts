import { MEAN_POOLING, type Pooling } from "../models/pooling.ts";
import type { TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { SuitedTo } from "./training-options.ts";

/** Most examples of which classes are learned by contrast unless something is asked for: of more, cross-entropy learned more in less time. */
const MOST_EXAMPLES = 400;

/**
 * Whether a task's classes are best learned by contrast: few single texts of one class each, and a model that was trained to embed
 * sentences (SetFit, Tunstall et al. 2022, arXiv 2209.11055).
 */
function suitsContrast(pooling: Pooling, task: TaskData): boolean {
  const { head, stratumOf, objective } = findTaskKind(task.kind);
  const isSingle = task.train.every(({ textPair }) => textPair === undefined);
  const fits = head === "sequence" && objective.linearLoss === "softmax" && stratumOf !== undefined && isSingle;
  return fits && pooling !== MEAN_POOLING && task.train.length <= MOST_EXAMPLES;
}

/**
 * What examples and a model say of settings that are not given.
 * @param isNew whether the run starts from no adapter
 * @param pooling of the model; only one that was trained to embed texts has its own
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
