import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { ReplicaSteps } from "./local-steps/replica.ts";
import type { TrainingStep } from "./step.ts";
import type { AdaptedModel } from "./step-graph.ts";
import type { StepMachines } from "./step-part.ts";

/** Takes the steps of replicas and yields the result of `advance` for each, in their order. */
export type ReplicaRunner = (
  replicas: readonly ReplicaSteps[],
  signal?: AbortSignal,
) => AsyncGenerator<Record<string, Tensor>, void>;

export interface OtherMachines extends StepMachines {
  /** Like {@link StepMachines.share}, for replicas. */
  shareReplicas(model: AdaptedModel, weights: Tensors, own: TrainingStep): ReplicaRunner;
}
