/**
 * Types of the events of a run, and of the files in its folder.
 * @module
 */

export type { BlockCheck } from "./methods/freezing/block-controller.ts";
export type { FreezingCheck } from "./methods/freezing/controller.ts";
export type { DataFingerprint } from "./preparation/data-fingerprint-node.ts";
export type { RunMemory } from "./preparation/memory-fit-node.ts";
export type { DataSource, RunConfig, RunSettings } from "./preparation/run-options-node.ts";
export type { HeadChoice } from "./preparation/trained-head.ts";
export type { FineTuningSettings, MethodChoice } from "./preparation/training-options.ts";
export type { ScoredAnswer } from "./runs/evaluate-run.ts";
export type { RunStart } from "./runs/fine-tune-events.ts";
export type { FrozenBlocksResult } from "./runs/run-result.ts";
export type { RunFindings } from "./tasks/findings.ts";
export type { AnswerScores } from "./tasks/metrics/answers.ts";
export type { ConfidenceStep, ReliabilityBin } from "./tasks/metrics/calibration.ts";
export type { RougeScores } from "./tasks/metrics/rouge.ts";
export type { Calibration } from "./training/calibration/calibrate.ts";
export type { PackedFormat } from "./training/frozen-blocks/packed-rows.ts";
export type { ProgressEvent } from "./training/progress.ts";
export type {
  EvaluationRecord,
  FreezingRecord,
  RolloutRecord,
  RolloutTotals,
  SampleAnswer,
  ScoresRecord,
  StepRecord,
  WorkerShare,
} from "./training/training-records.ts";
