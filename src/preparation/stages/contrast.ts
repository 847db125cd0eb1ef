import { poolingOfFeatures, readsPooled } from "../../architectures/heads.ts";
import { opt, UserError } from "../../errors.ts";
import { float32 } from "../../graph/tensor.ts";
import { mapped } from "../../tasks/list.ts";
import { embeddingObjective } from "../../tasks/losses/embedding-losses.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind, objectiveOf } from "../../tasks/task-kinds.ts";
import { fitHead } from "../../training/linear-head/fit-head.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import type { Contrast } from "../../training/train-options.ts";
import { adaptedModel } from "../adapted-run.ts";
import type { RunPlan } from "../run-plan.ts";
import type { Stage } from "./stage.ts";

/** λ of heads that are fitted to vectors whose classes training has drawn apart: it hardly matters there. */
const PENALTY = 10 ** -0.5;

/** Share of the change by contrast that is kept. In the adapter's part of the weights, a product of its matrices, about half is left. */
const KEPT = 0.75;

/**
 * Contrastive training: texts of the same class get similar vectors, other texts different ones, and each text of a batch is compared
 * with all others (SetFit, arXiv 2209.11055, draws pairs). The head is then fitted to the vectors.
 */
export const contrast: Stage<RunPlan> = {
  name: "contrast",
  needs: ({ settings }) => settings.contrastive,
  run: async (plan) => ({ ...plan, contrast: contrastOf(plan) }),
};

/** @throws UserError if the task has no classes to learn by contrast, or its head does not read vectors */
function contrastOf(plan: RunPlan): Contrast {
  const { task, train, sample } = plan.encoded;
  const model = adaptedModel(plan);
  const step = contrastStep(model, task);
  const { stratumOf } = findTaskKind(task.kind);
  const { linearLoss } = objectiveOf(task);
  if (!step || !stratumOf || !linearLoss) {
    throw new UserError(
      `${opt("contrastive")} learns one class for each text, with a head that reads pooled vectors (${opt("headFeatures")} sentence or mean); leave it out`,
    );
  }
  const { features = "family" } = model;
  return {
    ...step,
    kept: KEPT,
    train: mapped(train.encoded, (encoded, i): TrainingExample => {
      const targets = float32([1, 3], Float32Array.of(encoded.index, 0, stratumOf(train.examples.at(i)!)));
      return { ...encoded, targets, weights: Float32Array.of(1) };
    }),
    async fitHead(weights, runtime, { signal, onProgress }) {
      const { tokenBudget } = plan.settings;
      const options = { candidates: [features], loss: linearLoss, penalty: PENALTY, tokenBudget, signal, onProgress };
      const fitted = await fitHead(model, weights, runtime, { task, ...sample }, options);
      for (const [name, { data }] of fitted.weights) (weights.get(name)!.data as Float32Array).set(data);
    },
  };
}

/** The model with vectors as its outputs, and the loss of a contrastive step; undefined if the task cannot be learned by contrast. */
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
