export type { EvaluationRecord, FreezingRecord, MetricsRecord, ScoresRecord, StepRecord } from "../training/records.ts";

import type { BaseFormat } from "../architectures/base-format.ts";
import type { RunMemory } from "../preparation/memory-fit-node.ts";
import type { Calibration } from "../training/calibration/calibrate.ts";
import type { RolloutTotals } from "../training/records.ts";

/** Effect of freezing blocks, compared with a run in which all blocks train. */
export interface FrozenBlocksResult {
  /** Step at which each block froze, from the input side; null if it never froze. */
  frozenAtStep: (number | null)[];
  /** Floating-point operations saved. */
  flopsSaved: number;
  /** Seconds saved: the steps after the first block froze, compared with as many steps of the mean length before. */
  secondsSaved: number;
  /** Estimated bytes of a step's activations before the first step, minus those after the last. */
  activationsSaved: number;
  /** Peak bytes of kept hidden states. */
  kept: { memory: number; file: number };
}

/** `result.json`: the result of a run. */
export interface RunResult {
  method: string;
  task: string;
  model: string;
  seed: number;
  /** Storage format of the base model in training. */
  base: BaseFormat;
  /** Metrics of the best epoch. `aflora evaluate` computes the confusion matrix and similar. */
  metrics: Record<string, number>;
  /** Standard errors of the metrics; for a single split that is not too large. */
  errors?: Record<string, number>;
  /** Metrics of the same adapter on the float32 base model, if training used another format. They hold for exports. */
  float32Metrics?: Record<string, number>;
  /** Calibration error of the best epoch, and the temperature that its head was divided by; for labels. */
  calibration?: Calibration;
  bestEpoch: number;
  lastEpochMetrics: Record<string, number>;
  /** Number of trainable parameters, without the head, which is counted separately. */
  trainable: { start: number; average: number; end: number; head: number };
  /** Number of projection matrices under the schedule, and how many of them froze. */
  frozen: { count: number; of: number };
  /** Step at which each projection matrix under the schedule froze; null if it never froze. */
  frozenAtStep: Record<string, number | null>;
  /** Effect of freezing blocks; undefined if no block may freeze. */
  blocks?: FrozenBlocksResult;
  /** For runs that learn from rewards: answers, and the seconds for generating, scoring and stepping. */
  rollout?: RolloutTotals & { stepping: number };
  steps: number;
  epochs: number;
  /** Wall-clock seconds of training, including evaluation. */
  seconds: number;
  /** Median wall-clock seconds of one optimizer step. */
  secondsPerStep: number;
  /** Tokens per second of training, without padding and evaluation. */
  tokensPerSecond: number;
  /** Peak resident memory in bytes, over all processes of a resumed run. */
  peakMemory: number;
  /** Memory estimate from before training, in bytes. */
  memoryEstimate: RunMemory;
  /** Floating-point operations of training, forward and backward. */
  flops: number;
  /** Size of `adapter/adapter.safetensors` in bytes. */
  adapterBytes: number;
  /** Notes for the user, for example that examples were shortened, or that the model learned nothing. */
  notes: readonly string[];
}
