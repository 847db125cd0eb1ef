export type { EvaluationRecord, FreezingRecord, MetricsRecord, ScoresRecord, StepRecord } from "../training/records.ts";

import type { RunMemory } from "../fine-tuning/memory-fit-node.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { Calibration } from "../training/calibration/calibrate.ts";
import type { RolloutTotals } from "../training/records.ts";

/** What blocks that left training came to, and saved beside a run in which all stay. */
export interface FrozenBlocksResult {
  /** Step at which each block froze, from the input side on; null where it never did. */
  frozenAtStep: (number | null)[];
  /** Floating-point operations: those that the steps would have done in addition. */
  flopsSaved: number;
  /** Seconds of steps: those after the first block froze beside as many of the mean length before. */
  secondsSaved: number;
  /** Bytes that are expected of a step's activations before the first step, less those after the last. */
  activationsSaved: number;
  /** Most bytes of hidden states that were kept. */
  kept: { memory: number; file: number };
}

/** `result.json`: what a run came to. */
export interface RunResult {
  method: string;
  task: string;
  model: string;
  seed: number;
  /** How the base model was stored in training. */
  base: BaseFormat;
  /** Metrics of the best epoch; `confusion` and the like are left to `aflora evaluate`. */
  metrics: Record<string, number>;
  /** How far chance may have moved them, standard errors; of one split that is not too large. */
  errors?: Record<string, number>;
  /** The same adapter's beside the float32 base model, where training used another: those of what is exported. */
  float32Metrics?: Record<string, number>;
  /** How far the best epoch's probabilities were from what was right, and the temperature that its head was divided by; of labels. */
  calibration?: Calibration;
  bestEpoch: number;
  lastEpochMetrics: Record<string, number>;
  /** Trainable parameters; the head is counted apart. */
  trainable: { start: number; average: number; end: number; head: number };
  /** Projection matrices under the schedule, and how many of them froze. */
  frozen: { count: number; of: number };
  /** Step at which each projection matrix under the schedule froze; null where it never did. */
  frozenAtStep: Record<string, number | null>;
  /** What blocks that left training came to; absent where none may leave. */
  blocks?: FrozenBlocksResult;
  /** Of runs that learn from rewards: their answers, and seconds of writing them, of their rewards and of the steps themselves. */
  rollout?: RolloutTotals & { stepping: number };
  steps: number;
  epochs: number;
  /** Wall-clock seconds of training, evaluation included. */
  seconds: number;
  /** Median wall-clock seconds of one optimizer step. */
  secondsPerStep: number;
  /** Real tokens per second of training, padding and evaluation not counted. */
  tokensPerSecond: number;
  /** Highest resident memory, bytes; of all its processes, where the run was cut off and went on. */
  peakMemory: number;
  /** What was expected before training, bytes. */
  memoryEstimate: RunMemory;
  /** Floating-point operations spent in training, forward and backward. */
  flops: number;
  /** Size of `adapter/adapter.safetensors`, bytes. */
  adapterBytes: number;
  /** What a person should know of the run: examples that were shortened, that nothing was learned, perhaps. */
  notes: readonly string[];
}
