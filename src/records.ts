/**
 * Types of what a run tells while it trains, and of what it writes in its folder.
 * @module
 */

export type { RunStart } from "./runs/fine-tune-events.ts";
export type { EvaluationRecord, FreezingRecord, FrozenBlocksResult, ScoresRecord, StepRecord } from "./runs/records.ts";
export type { ConfidenceStep, ReliabilityBin } from "./tasks/metrics/calibration.ts";
export type { Calibration } from "./training/calibration/calibrate.ts";
export type { RolloutRecord, RolloutTotals, SampleAnswer, WorkerShare } from "./training/records.ts";
