import type { FreezingCheck } from "../methods/freezing/controller.ts";
import type { PairScores } from "../tasks/metrics/pair-scores.ts";

/** Answers that were written, and what time that took: of a step, or of a run. */
export interface RolloutTotals {
  answers: number;
  /** Those without a reward, because it failed. */
  failed: number;
  /** Seconds of writing them. */
  generating: number;
  /** Seconds of their rewards. */
  scoring: number;
}

/** The answers of a step. */
export interface RolloutRecord extends RolloutTotals {
  /** Mean of their rewards; null where all failed. */
  reward: number | null;
  /** Standard deviation of their rewards; null where fewer than two have one. */
  spread: number | null;
  /** Mean number of their tokens. */
  answerTokens: number;
  /** Why a reward failed; of several, the first. */
  failure?: string;
}

/** An answer to a held-out prompt. */
export interface SampleAnswer {
  /** What was asked, or the conversation's last turn. */
  prompt: string;
  answer: string;
  /** null where it failed. */
  reward: number | null;
}

/** What a worker did of a step. */
export interface WorkerShare {
  /** Its machine and process. */
  name: string;
  shards: number;
  /** Seconds that it computed. */
  computing: number;
  /** Bytes that went to it and came back. */
  bytes: number;
}

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
  /** Blocks that were frozen in this step; absent where none ever freezes. */
  frozenBlocks?: number;
  /** Wall-clock seconds of this step. */
  seconds: number;
  /** Real tokens, padding not counted. */
  tokens: number;
  /** Of runs that learn from rewards. */
  rollout?: RolloutRecord;
  /** Of runs whose steps workers compute: who did. */
  workers?: WorkerShare[];
  /** Resident memory of the process, bytes; absent where the platform cannot say. */
  memory?: number;
}

/** One evaluation: a line of `metrics.jsonl` with `kind: "evaluation"`. */
export interface EvaluationRecord {
  kind: "evaluation";
  /** Optimizer steps done. */
  step: number;
  /** Epochs done: a fraction within one. */
  epoch: number;
  /** Metric → value, in Hugging Face's names and scale; of several splits, `<metric>_<split>`. */
  metrics: Record<string, number>;
  /** How far chance may have moved each: standard errors, of one split that is not too large. */
  errors?: Record<string, number> | undefined;
  /** Mean loss over the validation examples; of runs that learn from rewards their mean reward, with the other sign. */
  loss: number;
  /** Of runs that learn from rewards: answers to the first prompts. */
  samples?: SampleAnswer[];
}

/** How an evaluation's model tells what belongs together: a line of `scores.jsonl`, of embeddings and rerankers. */
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
  /** Seconds that compiling the step again took; 0 where nothing froze. */
  compileSeconds: number;
}
