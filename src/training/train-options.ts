import type { Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { objectiveOf } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "./evaluation/evaluate.ts";
import type { SpillFile } from "./frozen-blocks/hidden-state-cache.ts";
import type { PackedFormat } from "./frozen-blocks/packed-rows.ts";
import type { OtherMachines } from "./other-machines.ts";
import type { Rollout } from "./rollout.ts";
import type { AdaptedModel } from "./step-graph.ts";
import type { TrainingState } from "./training-state.ts";

export interface TrainingSettings {
  epochs: number;
  /** Examples of one optimizer step. */
  batchSize: number;
  /** Most tokens of a micro-batch. */
  tokenBudget: number;
  /** Peak learning rate of the method's parameters. */
  learningRate: number;
  /** Peak learning rate of the head. */
  headLearningRate: number;
  weightDecay: number;
  /** Share of all steps over which the learning rates rise. */
  warmupRatio: number;
  /** The same in steps, which counts where it is given. */
  warmupSteps?: number | undefined;
  /** Global norm to which a step's gradients are clipped. */
  maxGradNorm: number;
  /** Of the order of examples and the dropout masks. */
  seed: number;
  /** Evaluate after every so many steps, and at the end; after each epoch where absent. */
  evaluateEvery?: number | undefined;
  /** Steps that replicas take apart, as `LocalSteps` has it; they share each step where absent. */
  localSteps?: number | undefined;
  /** Replicas that do. */
  replicas?: number | undefined;
  /** Stop after this many evaluations without a better one. */
  patience?: number | undefined;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
  /** Whether the backward pass computes each block again. */
  recompute?: boolean | undefined;
  /** How hidden states of frozen blocks are kept by example; `none` computes them again at each step. */
  freezeBlocksCache?: PackedFormat | "none" | undefined;
  /** Most memory that they take, MB; what is beyond goes to a file, where there may be one. */
  freezeBlocksMemory?: number | undefined;
}

/** What {@link TrainingSettings} of frozen blocks are where absent. */
export const BLOCK_CACHE = { format: "int16", memory: 1024 } as const;

/** A loss of the encoder alone: what its vectors are to come to. The head is fitted to them anew for each evaluation. */
export interface Contrast {
  /** The model, with vectors as its outputs. */
  model: AdaptedModel;
  objective: Objective;
  /** Examples as the loss takes them. */
  train: readonly TrainingExample[];
  /** Cross-entropy of guessing. */
  chanceLoss: number;
  /** Share of what training changes that is kept, above 0 and at most 1. */
  kept: number;
  /** Fits the head to what the model gives with `weights`, in which its values are put. */
  fitHead(weights: Tensors, runtime: Runtime, signal?: AbortSignal): Promise<void>;
}

/** What a step is of: the model and what its outputs are to come to. */
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
  /** The model's weights and the method's parameters by name; what trains is changed in place. */
  weights: Tensors;
  task: Pick<TaskData, "kind" | "labels" | "metrics" | "options">;
  train: readonly TrainingExample[];
  validation: readonly EncodedSplit[];
  settings: TrainingSettings;
  runtime: Runtime;
  /** Opens a place for hidden states of frozen blocks beyond what memory may hold; they are computed again where absent. */
  openSpill?(): Promise<SpillFile>;
  /** Pause after this many epochs of the run, as if aborted there; nothing where the run ends before. */
  stopAfter?: number | undefined;
  /** Aborting ends the run as patience does, by its best evaluation; by the first that comes, where there was none yet. */
  timeUp?: AbortSignal | undefined;
  /** Aborting ends the run after the run of a graph at hand: a step or an evaluation that it cuts off is not taken. */
  signal?: AbortSignal | undefined;
  /** Writes what steps are taken on, where examples are prompts to answer. It is released with the run. */
  rollout?: Rollout | undefined;
  /** Compute its steps' gradients in place of this process. */
  machines?: OtherMachines | undefined;
  /** What steps are taken by in place of the task's own loss. */
  contrast?: Contrast | undefined;
  /** Whether what the run starts from is a model like those that it comes to, which it must beat: its head is fitted. */
  startCounts?: boolean | undefined;
  /** Where to go on from. The schedule must have been made with its state too. */
  resume?: TrainingState | undefined;
}

/** How hidden states of frozen blocks are kept, in how many bytes of memory at most, and whether what is beyond may go to a file. */
export function keptStates({
  freezeBlocksCache: format = BLOCK_CACHE.format,
  freezeBlocksMemory = BLOCK_CACHE.memory,
}: TrainingSettings): { format: PackedFormat; memory: number; spills: boolean } {
  if (format === "none") return { format: "float32", memory: 0, spills: false };
  return { format, memory: freezeBlocksMemory * 1e6, spills: true };
}
