import type { ModelConfig } from "../architectures/architecture.ts";
import type { ModelDescription } from "../architectures/families.ts";
import { MEAN_POOLING, type Pooling } from "../architectures/pooling.ts";
import type { TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { SuitedTo } from "./training-options.ts";

/** The properties of a model that settings depend on. */
export interface SuitedModel extends Pick<ModelDescription, "pooling"> {
  config: Pick<ModelConfig, "layerCount">;
}

/** Limit on examples for contrastive training by default: with more, cross-entropy learned more in less time. */
const MOST_EXAMPLES = 400;
/** Limit on classes for contrastive training by default: with six or more, cross-entropy learned more (docs/results/few-rows.md). */
const MOST_CLASSES = 5;

/**
 * Whether a task's classes are best learned by contrast: few single texts of few classes, and a model that was trained to embed
 * sentences (SetFit, Tunstall et al. 2022, arXiv 2209.11055).
 */
function suitsContrast(pooling: Pooling, task: TaskData): boolean {
  if (!findTaskKind(task.kind).choosesClass || pooling === MEAN_POOLING) return false;
  if (task.train.length > MOST_EXAMPLES || task.labels.length > MOST_CLASSES) return false;
  return task.train.every(({ textPair }) => textPair === undefined);
}

/** Tokens of the longest sound; undefined if the kind reads none. */
function longestSound({ kind, train }: TaskData): number | undefined {
  if (findTaskKind(kind).reads !== "sounds") return undefined;
  return train.map(({ sound }) => sound!.tokens).reduce((most, tokens) => Math.max(most, tokens), 0);
}

/**
 * Describes the examples and the model to the settings that depend on them.
 * @param isNew whether the run starts without an adapter
 * @param model only a model that was trained to embed texts has a pooling of its own
 */
export const suitedTo = (
  task: TaskData,
  isNew: boolean,
  { config, pooling = MEAN_POOLING }: SuitedModel,
): SuitedTo => ({
  kind: findTaskKind(task.kind),
  isNew,
  size: { examples: task.train.length, classes: task.labels.length },
  layers: config.layerCount,
  longest: longestSound(task),
  suitsContrast: isNew && suitsContrast(pooling, task),
});
