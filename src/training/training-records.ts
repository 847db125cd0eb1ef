import type { FreezingCheck } from "../methods/freezing/controller.ts";
import type { PairScores } from "../tasks/metrics/pair-scores.ts";

/** Number of generated answers, and the time that they took, for a step or a run. */
export interface RolloutTotals {
  answers: number;
  /** Answers without a reward, because the reward function failed. */
  failed: number;
  /** Seconds of generation. */
  generating: number;
  /** Seconds of reward functions. */
  scoring: number;
}

/** Generated answers of a step. */
export interface RolloutRecord extends RolloutTotals {
  /** Mean reward; null if all failed. */
  reward: number | null;
  /** Standard deviation of the rewards; null if fewer than two answers have one. */
  spread: number | null;
  /** Mean number of tokens of an answer. */
  answerTokens: number;
  /** Reason of the last failed reward. */
  failure?: string;
}

/** An answer to a held-out prompt. */
export interface SampleAnswer {
  /** The prompt, or the last turn of a conversation. */
  prompt: string;
  answer: string;
  /** null if the reward function failed. */
  reward: number | null;
}

/** Share of a worker in a step. */
export interface WorkerShare {
  /** Machine and process of the worker. */
  name: string;
  shards: number;
  /** Seconds of computation. */
  computing: number;
  /** Bytes sent and received. */
  bytes: number;
}

/** One optimizer step: a line of `metrics.jsonl` with `kind: "step"`. */
export interface StepRecord {
  kind: "step";
  /** From 0. */
  step: number;
  /** Fractional epoch after this step, from 0. */
  epoch: number;
  /** Mean loss over the batch's examples, including penalties of the method. */
  loss: number;
  learningRate: number;
  /** Global norm of the gradient before clipping. */
  gradientNorm: number;
  /** Trainable parameters of the adapter at this step, without the head. */
  trainable: number;
  /** Projection matrices frozen so far (without those frozen at random from the start). */
  frozen: number;
  /** Blocks that were frozen in this step; undefined if the run never freezes blocks. */
  frozenBlocks?: number;
  /** Wall-clock seconds of this step. */
  seconds: number;
  /** Real tokens, without padding. */
  tokens: number;
  /** Generated answers, for runs that learn from rewards. */
  rollout?: RolloutRecord;
  /** Workers that computed the step, if the run uses other machines. */
  workers?: WorkerShare[];
  /** Resident memory of the process, in bytes; undefined if the platform does not report it. */
  memory?: number;
}

/** One evaluation: a line of `metrics.jsonl` with `kind: "evaluation"`. */
export interface EvaluationRecord {
  kind: "evaluation";
  /** Optimizer steps done. */
  step: number;
  /** Epochs done, as a fraction. */
  epoch: number;
  /** Metric → value, with the names and scales of Hugging Face; for several splits, `<metric>_<split>`. */
  metrics: Record<string, number>;
  /** Standard errors of the metrics, for a single split that is not too large. */
  errors?: Record<string, number> | undefined;
  /** Mean loss over the validation examples; for runs that learn from rewards, the negated mean reward. */
  loss: number;
  /** Answers to the first prompts, for runs that learn from rewards. */
  samples?: SampleAnswer[];
}

/** Pair scores of an evaluation, for embeddings and rerankers: a line of `scores.jsonl`. */
export interface ScoresRecord extends PairScores {
  kind: "scores";
  /** Epochs done. */
  epoch: number;
}

/** One line of `metrics.jsonl`. */
export type MetricsRecord = StepRecord | EvaluationRecord;

/** One check of the freezing schedule: a line of `freezing.jsonl`. */
export interface FreezingRecord extends FreezingCheck {
  kind: "freezing";
  /** Seconds to compile the step again; 0 if nothing froze. */
  compileSeconds: number;
}
