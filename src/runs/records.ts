/** One optimizer step: a line of `metrics.jsonl` with `kind: "step"`. */
export interface StepRecord {
  kind: "step";
  /** From 0. */
  step: number;
  /** Fractional epoch after this step, from 0. */
  epoch: number;
  /** Mean loss over the batch's examples, penalties of the method included. */
  loss: number;
  learningRate: number;
  /** Global norm of the gradient before clipping. */
  gradientNorm: number;
  /** Trainable parameters of the adapter at this step, head not counted. */
  trainable: number;
  /** Projection matrices frozen so far (those frozen at random from the start not counted). */
  frozen: number;
  /** Wall-clock seconds of this step. */
  seconds: number;
  /** Real tokens, padding not counted. */
  tokens: number;
  /** Resident memory of the process, bytes; absent where the platform cannot say. */
  memory?: number;
}

/** One evaluation, at the end of an epoch: a line of `metrics.jsonl` with `kind: "evaluation"`. */
export interface EvaluationRecord {
  kind: "evaluation";
  /** Optimizer steps done. */
  step: number;
  /** Epochs done. */
  epoch: number;
  /** Metric → value, in Hugging Face's names and scale; of several splits, `<metric>_<split>`. */
  metrics: Record<string, number>;
  /** Mean loss over the validation examples. */
  loss: number;
}

/** One line of `metrics.jsonl`. */
export type MetricsRecord = StepRecord | EvaluationRecord;

/** One check of the freezing schedule: a line of `freezing.jsonl`. */
export interface FreezingRecord {
  step: number;
  /** r(t): the fraction that the schedule asks to be frozen (spec section 3). */
  fraction: number;
  /** Threshold of `element-quantile`; null where nothing was compared. */
  threshold: number | null;
  /** Score of every projection matrix under the schedule, frozen ones included, at this check. */
  scores: Record<string, number>;
  /** Names that froze at this check. */
  frozen: string[];
  /** Seconds that compiling the step again took; 0 where nothing froze. */
  compileSeconds: number;
}

/** `result.json`: what a run came to. */
export interface RunResult {
  method: string;
  task: string;
  model: string;
  seed: number;
  /** Metrics of the best epoch; `confusion` and the like are left to `aflora evaluate`. */
  metrics: Record<string, number>;
  bestEpoch: number;
  lastEpochMetrics: Record<string, number>;
  /** Trainable parameters; the head is counted apart. */
  trainable: { start: number; average: number; end: number; head: number };
  /** Projection matrices under the schedule, and how many of them froze. */
  frozen: { count: number; of: number };
  /** Step at which each projection matrix under the schedule froze; null where it never did. */
  frozenAtStep: Record<string, number | null>;
  steps: number;
  epochs: number;
  /** Wall-clock seconds of training, evaluation included. */
  seconds: number;
  /** Median wall-clock seconds of one optimizer step. */
  secondsPerStep: number;
  /** Real tokens per second of training, padding and evaluation not counted. */
  tokensPerSecond: number;
  /** Highest resident memory of the process, bytes. */
  peakMemory: number;
  /** Floating-point operations spent in training, forward and backward. */
  flops: number;
  /** Size of `adapter/adapter.safetensors`, bytes. */
  adapterBytes: number;
}
