import type { ProgressEvent } from "./progress.ts";
import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "./training-records.ts";
import type { TrainingState } from "./training-state.ts";

/** Between two steps: an opportunity to save a state from which the run can resume. */
export interface CheckpointEvent {
  kind: "checkpoint";
  /** Optimizer steps done. */
  step: number;
  /** Whether the run needs it saved: after an evaluation, or if it stops before its end. Otherwise the receiver decides. */
  due: boolean;
  /** Returns the state, with a copy of the parameters. Call it and save the state before requesting the next event. */
  state(): TrainingState;
}

/** A note for the user, in one sentence. */
export interface NoteEvent {
  kind: "note";
  text: string;
}

/** Last event: the result of training. */
export interface TrainingEnd {
  kind: "end";
  state: TrainingState;
  /** The best evaluation by the task's first metric; undefined if there was none. */
  best: EvaluationRecord | undefined;
  last: EvaluationRecord | undefined;
  trainable: { start: number; average: number; end: number; head: number };
  /** Largest size of the cached hidden states of frozen blocks, in bytes. */
  kept: { memory: number; file: number };
  /** Whether the signal or a pause ended the run. */
  aborted: boolean;
}

/** Event of a training run. For each step: its check, its record, a checkpoint; for each evaluation: scores, record, checkpoint. */
export type TrainingEvent =
  | StepRecord
  | FreezingRecord
  | EvaluationRecord
  | ScoresRecord
  | CheckpointEvent
  | NoteEvent
  | ProgressEvent
  | TrainingEnd;
