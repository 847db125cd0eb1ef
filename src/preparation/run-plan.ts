import type { BaseModel } from "../base-models/base-model.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { Reward } from "../tasks/reward-functions.ts";
import { objectiveOf } from "../tasks/task-kinds.ts";
import type { Contrast } from "../training/train-options.ts";
import type { TrainingState } from "../training/training-state.ts";
import type { EncodedTask } from "./encoded-task.ts";
import type { Start } from "./start-from-adapter.ts";
import type { FineTuningSettings, MethodChoice } from "./training-options.ts";

/** A run between the reading of its data and its first step: the stages before the loop add to it. */
export interface RunPlan {
  /** The task as it was read, with the features that the head reads. */
  readonly task: TaskData;
  /** The base model with a head for the task. */
  readonly base: BaseModel;
  readonly encoded: EncodedTask;
  readonly method: MethodChoice;
  readonly settings: FineTuningSettings;
  readonly runtime: Runtime;
  readonly start?: Start | undefined;
  readonly resume?: TrainingState | undefined;
  /** Scores answers, for kinds that learn from rewards. */
  readonly reward?: Reward | undefined;
  /** The contrastive loss of the steps, if the run learns by contrast. */
  readonly contrast?: Contrast | undefined;
  /** Values of the method's parameters before training, by name; empty before the method's start. */
  readonly initial: Tensors<"float32">;
  readonly notes: readonly string[];
}

/** Whether the settings ask for a fitted head, and the task's loss has an optimum that can be computed. */
export const canFitHead = ({ encoded, settings }: Pick<RunPlan, "encoded" | "settings">): boolean =>
  settings.headStart === "fitted" && objectiveOf(encoded.task).linearLoss !== undefined;
