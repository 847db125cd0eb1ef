import { UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import { poolingOfFeatures, readsPooled } from "../../models/heads.ts";
import { embeddingObjective } from "../../tasks/losses/embedding-losses.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind, objectiveOf } from "../../tasks/task-kinds.ts";
import { fitHead, type HeadExamples } from "../../training/linear-head/fit-head.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import type { Contrast } from "../../training/train-options.ts";
import type { FineTuningSettings } from "../training-options.ts";

/** λ of heads that are fitted to vectors whose classes training has drawn apart: hardly anything hangs on it. */
const PENALTY = 10 ** -0.5;

/** How much of what contrast changes is kept. Of an adapter's part in the weights, a product of its matrices, that is about half. */
const KEPT = 0.75;

/** What a step by contrast is of: the model, with vectors as its outputs, and their loss; undefined where it cannot be. */
export function contrastStep(
  model: AdaptedModel,
  task: Parameters<typeof objectiveOf>[0],
): Pick<Contrast, "model" | "objective"> | undefined {
  const { features = "family", config, pooling, head } = model;
  if (!findTaskKind(task.kind).stratumOf || !objectiveOf(task).linearLoss) return undefined;
  if (!readsPooled(head ?? "sequence", features)) return undefined;
  return {
    model: {
      ...model,
      head: "pooled",
      features: undefined,
      pooling: poolingOfFeatures(features, pooling),
      labelCount: config.hiddenSize,
    },
    objective: embeddingObjective("cosine-similarity", {}),
  };
}

/**
 * Training by contrast: texts of a class are to have like vectors, others unlike ones, all of a batch with all others (SetFit, arXiv
 * 2209.11055, draws pairs); the head is fitted to what comes of it.
 * @param model with a head that reads pooled hidden states
 * @param given the training examples, each of one class
 * @throws UserError where the task has no classes to learn by contrast, or its head does not read vectors.
 */
export function contrastOf(
  model: AdaptedModel,
  given: HeadExamples,
  { tokenBudget }: Pick<FineTuningSettings, "tokenBudget">,
): Contrast {
  const step = contrastStep(model, given.task);
  const { stratumOf } = findTaskKind(given.task.kind);
  const { linearLoss } = objectiveOf(given.task);
  if (!step || !stratumOf || !linearLoss) {
    throw new UserError(
      "--contrastive learns one class for each text, with a head that reads pooled vectors (--head-features sentence or mean); leave it out",
    );
  }
  const { features = "family" } = model;
  return {
    ...step,
    chanceLoss: Math.log(given.task.labels.length),
    kept: KEPT,
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
