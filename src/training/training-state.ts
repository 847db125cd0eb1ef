import type { HeadFeatures } from "../architectures/heads.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { MethodState } from "../methods/method.ts";
import type { TaskOptionValues } from "../tasks/task-kind.ts";
import type { AdamWState } from "./optimizer/adamw.ts";
import type { EvaluationRecord, RolloutTotals } from "./training-records.ts";

/** State of a run between two steps. A run that resumes from it continues exactly as if it had not stopped. */
export interface TrainingState {
  /** Features that the head reads (default: the family's). */
  headFeatures?: HeadFeatures | undefined;
  /** Options of the task, for kinds whose fitted head finds one of them. */
  taskOptions?: TaskOptionValues | undefined;
  /** Optimizer steps done. */
  step: number;
  tokens: number;
  flops: number;
  /** Operations that frozen blocks have saved. */
  flopsSaved: number;
  /** Trainable parameters before the first step. */
  trainableAtStart: number;
  /** Sum over steps of the trainable parameters. */
  trainableSum: number;
  /** Wall-clock seconds so far. */
  seconds: number;
  stepSeconds: number[];
  /** Totals of generated answers, for runs that learn from rewards. */
  rollout?: RolloutTotals | undefined;
  evaluations: EvaluationRecord[];
  frozenAtStep: Record<string, number>;
  /** Step at which each frozen block froze, starting at the input. */
  blocksFrozenAtStep: number[];
  parameters: Tensors<"float32">;
  /** The parameters before the first step, if evaluations move the trained ones part of the way back to them. */
  start?: Tensors<"float32"> | undefined;
  best?: { epoch: number; parameters: Tensors<"float32"> };
  optimizer: AdamWState;
  method?: MethodState | undefined;
}
