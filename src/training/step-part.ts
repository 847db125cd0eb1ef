import type { Tensors } from "../graph/tensor.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { MicroBatchRunner, ModelRun } from "./model-run.ts";
import { type AdaptedModel, type ModelGraph, type StepGraphOptions, writeInference, writeStep } from "./step-graph.ts";

export const STEP_PARTS = ["step", "part", "outputs"] as const;

/**
 * Graph that a step may need: `step` computes the loss and its gradients. If the objective couples the rows of a batch and the batch is
 * cut, `outputs` computes the values that the objective reads, and `part` the gradients of each micro-batch.
 */
export type StepPart = (typeof STEP_PARTS)[number];

export function writePart(
  part: StepPart,
  model: AdaptedModel,
  { objective, ...options }: Omit<StepGraphOptions, "part"> & { objective: Objective },
): ModelGraph {
  if (part === "outputs") return writeInference(model, { dropout: options.dropout, readBy: { objective } });
  return writeStep(model, objective, { ...options, part: part === "part" });
}

export interface StepMachines {
  share(model: AdaptedModel, weights: Tensors): (part: StepPart, own: ModelRun) => MicroBatchRunner;
}
