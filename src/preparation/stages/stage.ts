import type { Adapter } from "../../base-models/adapter.ts";
import type { BaseModel } from "../../base-models/base-model.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { TaskData } from "../../tasks/example.ts";
import type { RunFindings } from "../../tasks/findings.ts";
import type { Calibration } from "../../training/calibration/calibrate.ts";
import type { Evaluation } from "../../training/evaluation/evaluate.ts";
import type { TrainingEnd } from "../../training/events.ts";
import type { OnProgress } from "../../training/progress.ts";
import type { FineTuning } from "../fine-tuning.ts";
import type { RunPlan } from "../run-plan.ts";

/** A run between its last step and its adapter: the stages after the loop add to it. */
export interface RunEnding {
  readonly plan: RunPlan;
  readonly fineTuning: FineTuning;
  readonly end: TrainingEnd;
  /** The adapter of the best epoch, as far as the stages have changed it. */
  readonly adapter: Adapter;
  readonly calibration?: Calibration | undefined;
  readonly findings?: RunFindings | undefined;
  /** The model that the adapter is used with: in float32 if that fits into memory. */
  readonly base: BaseModel;
  /** Scores of the adapter on the float32 base, if training had another format. */
  readonly onFloat32?: Evaluation | undefined;
  readonly notes: readonly string[];
}

export interface StageOptions {
  /** Aborting ends the stage with the signal's reason. */
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface StartOptions extends StageOptions {
  /**
   * Cuts a run's micro-batches until they fit into memory, and chooses where it computes.
   * @throws UserError if the run cannot fit
   */
  place(fineTuning: FineTuning, runtime: Runtime): Promise<{ runtime: Runtime; notes: readonly string[] }>;
}

export interface EndOptions extends StageOptions {
  /** Whether a model that learned few examples may be trained once more on all of them (default: true). */
  again?: boolean | undefined;
  /** Whether the adapter learns which texts are unlike the training examples (default: true). */
  novelty?: boolean | undefined;
  /** Says why the base model does not fit into memory in float32; undefined if it does. */
  float32TooLarge?: ((base: BaseModel) => string | undefined) | undefined;
  /** Reads the base model in float32. */
  readFloat32(task: TaskData): Promise<BaseModel>;
}

/** One thing that a run does before or after its loop. The lists in `stages.ts` give their order. */
export interface Stage<Run, Options extends StageOptions = StageOptions> {
  readonly name: string;
  /** Whether the run has this stage. */
  needs(run: Run, options: Options): boolean;
  /** Returns the run with the stage's additions. @throws the signal's reason if it is aborted */
  run(run: Run, options: Options): Promise<Run>;
}

/** Runs stages in their order, each if the run needs it. */
export async function runStages<Run, Options extends StageOptions>(
  stages: readonly Stage<Run, Options>[],
  from: Run,
  options: Options,
): Promise<Run> {
  let run = from;
  for (const stage of stages) {
    if (stage.needs(run, options)) run = await stage.run(run, options);
  }
  return run;
}
