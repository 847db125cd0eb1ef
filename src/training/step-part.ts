import type { Tensors } from "../graph/tensor.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { MicroBatchRunner, ModelRun } from "./model-run.ts";
import { type AdaptedModel, type ModelGraph, type StepGraphOptions, writeInference, writeStep } from "./step-graph.ts";

/** Graphs that a step may need, by name. */
export const STEP_PARTS = ["step", "part", "outputs"] as const;

/**
 * A graph that a step may need: `step` gives the loss and its gradients. Where the objective couples the rows of a batch that is cut,
 * `outputs` gives what it reads of each micro-batch, and `part` each one's gradients.
 */
export type StepPart = (typeof STEP_PARTS)[number];

/** Writes a graph of a step. */
export function writePart(
  part: StepPart,
  model: AdaptedModel,
  { objective, ...options }: Omit<StepGraphOptions, "part"> & { objective: Objective },
): ModelGraph {
  if (part === "outputs") return writeInference(model, { dropout: options.dropout, readBy: { objective } });
  return writeStep(model, objective, { ...options, part: part === "part" });
}

/** Other machines that run a step's graphs. */
export interface StepMachines {
  /**
   * Tells them what trains from now on.
   * @param model as it trains now
   * @param weights the model's and the method's; what trains is read anew at each step
   * @returns who runs a graph of it; `own` is the same graph, compiled here
   */
  share(model: AdaptedModel, weights: Tensors): (part: StepPart, own: ModelRun) => MicroBatchRunner;
}
