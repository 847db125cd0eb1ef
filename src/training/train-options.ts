import type { Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { List } from "../tasks/list.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { objectiveOf } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "./evaluation/evaluate.ts";
import type { SpillFile } from "./frozen-blocks/hidden-state-cache.ts";
import type { PackedFormat } from "./frozen-blocks/packed-rows.ts";
import type { OtherMachines } from "./other-machines.ts";
import type { OnProgress } from "./progress.ts";
import type { Rollout } from "./rollout.ts";
import type { AdaptedModel } from "./step-graph.ts";
import type { TrainingState } from "./training-state.ts";

export interface TrainingSettings {
  epochs: number;
  /** Optimizer steps of the run; overrides `epochs`. */
  maxSteps?: number | undefined;
  /** Examples of one optimizer step. */
  batchSize: number;
  /** Maximum number of tokens of a micro-batch. */
  tokenBudget: number;
  /** Peak learning rate of the method's parameters. */
  learningRate: number;
  /** Peak learning rate of the head. */
  headLearningRate: number;
  weightDecay: number;
  /** Share of all steps over which the learning rates rise. */
  warmupRatio: number;
  /** Number of steps over which the learning rates rise; overrides `warmupRatio`. */
  warmupSteps?: number | undefined;
  /** Global norm to which a step's gradients are clipped. */
  maxGradNorm: number;
  /** Seed of the order of examples and of the dropout masks. */
  seed: number;
  /** Steps between two evaluations; there is always one at the end (default: one epoch). */
  evaluateEvery?: number | undefined;
  /** Steps that replicas take alone, as in `LocalSteps` (default: replicas are not used). */
  localSteps?: number | undefined;
  /** Number of replicas, with `localSteps`. */
  replicas?: number | undefined;
  /** Stop after this many evaluations without a better one. */
  patience?: number | undefined;
  /** Whether to use dropout, at the rates of the model's configuration. */
  dropout: boolean;
  /** Whether the backward pass computes each block again. */
  recompute?: boolean | undefined;
  /** Storage format of the hidden states of frozen blocks; `none` computes them again at each step. */
  freezeBlocksCache?: PackedFormat | "none" | undefined;
  /** Maximum memory for these hidden states, in MB. The rest goes to a file, if there is one. */
  freezeBlocksMemory?: number | undefined;
}

/** Defaults of the settings of frozen blocks. */
export const BLOCK_CACHE = { format: "int16", memory: 1024 } as const;

/** A contrastive loss on the encoder's vectors. The head is fitted to the vectors again for each evaluation. */
export interface Contrast {
  /** The model, with vectors as its outputs. */
  model: AdaptedModel;
  objective: Objective;
  /** Examples with the targets of the loss. */
  train: List<TrainingExample>;
  /** Share of the change by training that is kept, above 0 and at most 1. */
  kept: number;
  /** Fits the head to the model's outputs with `weights`, and writes its values into them. */
  fitHead(
    weights: Tensors,
    runtime: Runtime,
    options: { signal?: AbortSignal | undefined; onProgress?: OnProgress | undefined },
  ): Promise<void>;
}

/** Model, objective and examples of the run's steps. */
export const stepOf = ({
  model,
  task,
  train,
  contrast,
}: Pick<TrainOptions, "model" | "task" | "train" | "contrast">): Pick<Contrast, "model" | "objective" | "train"> =>
  contrast ?? { model, objective: objectiveOf(task), train };

export interface TrainOptions {
  model: AdaptedModel;
  schedule: Schedule;
  /** Weights of the model and parameters of the method, by name. Those that train are changed in place. */
  weights: Tensors;
  task: Pick<TaskData, "kind" | "labels" | "metrics" | "options">;
  train: List<TrainingExample>;
  validation: readonly EncodedSplit[];
  settings: TrainingSettings;
  runtime: Runtime;
  /** Opens storage for hidden states of frozen blocks beyond the memory limit. If undefined, they are computed again. */
  openSpill?(): Promise<SpillFile>;
  /** Pause after this many epochs of the run, as if aborted there. No effect if the run ends before. */
  stopAfter?: number | undefined;
  /** Aborting it ends the run with its best evaluation, as patience does; if there is none yet, after the next evaluation. */
  timeUp?: AbortSignal | undefined;
  /** Aborting it ends the run after the current run of a graph. A step or evaluation that is cut off does not count. */
  signal?: AbortSignal | undefined;
  /** Generates the examples of steps, if the training examples are prompts. It is released with the run. */
  rollout?: Rollout | undefined;
  /** Machines that compute the gradients of the run's steps instead of this process. */
  machines?: OtherMachines | undefined;
  /** Loss of the run's steps, instead of the task's own. */
  contrast?: Contrast | undefined;
  /** Whether the start counts as a result that training must beat, because its head is fitted. */
  startCounts?: boolean | undefined;
  /** Cross-entropy loss of guessing, if the start is a head that was fitted to classes of texts: training is likely to improve one that knows more. */
  chanceLoss?: number | undefined;
  /** State to resume from. The schedule must have been made from the same state. */
  resume?: TrainingState | undefined;
}

/** Storage format and memory limit in bytes of the hidden states of frozen blocks, and whether the rest may go to a file. */
export function keptStates({
  freezeBlocksCache: format = BLOCK_CACHE.format,
  freezeBlocksMemory = BLOCK_CACHE.memory,
}: TrainingSettings): { format: PackedFormat; memory: number; spills: boolean } {
  if (format === "none") return { format: "float32", memory: 0, spills: false };
  return { format, memory: freezeBlocksMemory * 1e6, spills: true };
}
