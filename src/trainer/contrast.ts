import { float32 } from "../graph/tensor.ts";
import { poolingOfFeatures, readsPooled } from "../models/heads.ts";
import { MEAN_POOLING, type Pooling } from "../models/pooling.ts";
import type { TaskData } from "../tasks/example.ts";
import { embeddingObjective } from "../tasks/losses/embedding-losses.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { fitHead, type HeadExamples } from "../training/fit-head.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import type { Contrast } from "../training/train-options.ts";
import type { SuitedTo } from "./training-options.ts";

/** λ of heads that are fitted to vectors whose classes training has drawn apart: hardly anything hangs on it. */
const PENALTY = 10 ** -0.5;

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
  suitsContrast: isNew && suitsContrast(pooling, task),
});

/**
 * Training by contrast: texts of a class are to have like vectors, others unlike ones (Khosla et al. 2020, arXiv 2004.11362), all of
 * a batch with all others; the head is fitted to what comes of it.
 * @param model with a head that reads pooled hidden states
 * @param given the training examples, each of one class
 */
export function contrastOf(model: AdaptedModel, given: HeadExamples, tokenBudget: number): Contrast | undefined {
  const { features = "family", config, pooling, head } = model;
  const { stratumOf } = findTaskKind(given.task.kind);
  const { linearLoss } = objectiveOf(given.task);
  if (!stratumOf || !linearLoss || !readsPooled(head ?? "sequence", features)) return undefined;
  return {
    model: {
      ...model,
      head: "pooled",
      features: undefined,
      pooling: poolingOfFeatures(features, pooling),
      labelCount: config.hiddenSize,
    },
    objective: embeddingObjective("supervised-contrastive", {}),
    chanceLoss: Math.log(given.task.labels.length),
    train: given.encoded.map((encoded, i): TrainingExample => {
      const targets = float32([1, 3], Float32Array.of(encoded.index, 0, stratumOf(given.examples[i]!)));
      return { ...encoded, targets, weights: Float32Array.of(1) };
    }),
    async fitHead(weights, runtime, signal) {
      const options = { candidates: [features], loss: linearLoss, penalty: PENALTY, tokenBudget, signal };
      const fitted = await fitHead(model, weights, runtime, given, options);
      for (const [name, { data }] of fitted.weights) (weights.get(name)!.data as Float32Array).set(data);
    },
  };
}
