import type { TrainingExample } from "../tasks/task-kind.ts";
import type { EncodedSplit, Evaluation } from "./evaluation/evaluate.ts";
import type { TellDone } from "./progress.ts";
import type { RolloutRecord } from "./training-records.ts";

export interface Rollout {
  examplesFor(
    step: number,
    prompts: readonly TrainingExample[],
    signal?: AbortSignal,
  ): Promise<{ examples: readonly TrainingExample[]; record: RolloutRecord }>;
  evaluate(splits: readonly EncodedSplit[], signal?: AbortSignal, onDone?: TellDone): Promise<Evaluation>;
  /** Why no answer can have taught anything so far; undefined if one could. */
  readonly taughtNothing: string | undefined;
  readonly notes: string[];
  release(): Promise<void>;
}
