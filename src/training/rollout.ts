import type { TrainingExample } from "../tasks/task-kind.ts";
import type { EncodedSplit, Evaluation } from "./evaluation/evaluate.ts";
import type { RolloutRecord } from "./records.ts";

/** Writes what a run learns from as it goes on: answers to prompts, by the model as it is then, and their rewards. */
export interface Rollout {
  /**
   * What a step learns from.
   * @param step from 0
   * @throws the signal's reason
   */
  examplesFor(
    step: number,
    prompts: readonly TrainingExample[],
    signal?: AbortSignal,
  ): Promise<{ examples: readonly TrainingExample[]; record: RolloutRecord }>;
  /** How good the likeliest answers to held-out prompts are. @throws the signal's reason */
  evaluate(splits: readonly EncodedSplit[], signal?: AbortSignal): Promise<Evaluation>;
  /** What a person should know: that rewards failed. */
  readonly notes: string[];
  release(): Promise<void>;
}
