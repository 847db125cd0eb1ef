import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "./records.ts";
import type { TrainingState } from "./training-state.ts";

/** Between two steps: a place to save a state from which the run can go on. */
export interface CheckpointEvent {
  kind: "checkpoint";
  /** Optimizer steps done. */
  step: number;
  /** Whether the run wants it saved: after an evaluation, and where it stops before its end. Else whoever saves decides. */
  due: boolean;
  /** The state, which copies the parameters: ask for it and save it before the next event is taken. */
  state(): TrainingState;
}

/** What a person should know, in a sentence. */
export interface NoteEvent {
  kind: "note";
  text: string;
}

/** The last event: what training came to. */
export interface TrainingEnd {
  kind: "end";
  state: TrainingState;
  /** The best evaluation by the task's first metric; undefined where there was none. */
  best: EvaluationRecord | undefined;
  last: EvaluationRecord | undefined;
  trainable: { start: number; average: number; end: number; head: number };
  /** Most bytes of hidden states that were kept of frozen blocks. */
  kept: { memory: number; file: number };
  /** Whether the signal or a pause ended the run. */
  aborted: boolean;
}

/** What a run tells as it trains, in this order: of a step its check, itself and a checkpoint; of an evaluation the same. */
export type TrainingEvent =
  | StepRecord
  | FreezingRecord
  | EvaluationRecord
  | ScoresRecord
  | CheckpointEvent
  | NoteEvent
  | TrainingEnd;
