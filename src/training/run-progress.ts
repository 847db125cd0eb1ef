import type { FreezingCheck } from "../methods/freezing/controller.ts";
import type { Schedule } from "../methods/method.ts";
import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { CheckpointEvent, TrainingEnd } from "./events.ts";
import type { AdamW } from "./optimizer/adamw.ts";
import type { StepOutcome } from "./step.ts";
import type { TrainOptions } from "./train-options.ts";
import type { TrainedParameters } from "./trained-parameters.ts";
import type { EvaluationRecord, RolloutTotals, StepRecord } from "./training-records.ts";
import type { TrainingState } from "./training-state.ts";

type StepFacts = Pick<StepRecord, "epoch" | "learningRate" | "gradientNorm" | "trainable" | "frozenBlocks" | "seconds">;

export interface MovingParts {
  parameters: TrainedParameters;
  optimizer: Pick<AdamW, "state">;
  schedule: Schedule;
}

/**
 * Share of the loss of guessing below which a fitted head counts as informative. If the data have no signal, training fits noise: a start
 * that scores no better than guessing must be beaten.
 */
const INFORMED = 0.95;

type StartOptions = Pick<TrainOptions, "model" | "task" | "resume" | "startCounts" | "chanceLoss">;

export class RunProgress {
  readonly #state: Omit<TrainingState, "parameters" | "start" | "optimizer" | "method">;
  readonly #startCounts: boolean;
  /** If the start's loss is below this, training is likely to improve it, so the start remains the best only if it is clearly better. */
  readonly #yieldsBelow: number;
  readonly #started: number;
  #savedAt: number | undefined;

  constructor(
    private readonly parts: MovingParts,
    { model, task, resume, startCounts = false, chanceLoss = 0 }: StartOptions,
  ) {
    this.#startCounts = startCounts;
    this.#yieldsBelow = INFORMED * chanceLoss;
    if (resume) {
      const { parameters, start, optimizer, method, ...counted } = resume;
      this.#state = { ...counted };
    } else {
      const nothing = { step: 0, tokens: 0, flops: 0, flopsSaved: 0, trainableSum: 0, seconds: 0 };
      const lists = { stepSeconds: [], evaluations: [], blocksFrozenAtStep: [] };
      const trainableAtStart = parts.parameters.count();
      this.#state = { ...nothing, ...lists, trainableAtStart, frozenAtStep: {}, ...foundByHead({ model, task }) };
    }
    this.#started = performance.now() - this.#state.seconds * 1000;
  }

  get step(): number {
    return this.#state.step;
  }

  get best(): EvaluationRecord | undefined {
    return this.#state.evaluations.find(({ epoch }) => epoch === this.#state.best?.epoch);
  }

  get last(): EvaluationRecord | undefined {
    return this.#state.evaluations.at(-1);
  }

  /** Evaluations since the first one whose first metric equals the best; 0 if there is none. */
  get evaluationsSinceBest(): number {
    const { best } = this;
    if (!best) return 0;
    const { evaluations } = this.#state;
    return evaluations.length - 1 - evaluations.findIndex((each) => Object.is(firstMetric(each), firstMetric(best)));
  }

  addStep({ loss, tokens, flops, flopsSaved, rollout }: Omit<StepOutcome, "gradients">, facts: StepFacts): StepRecord {
    const step = this.#state.step++;
    this.#state.tokens += tokens;
    this.#state.flops += flops;
    this.#state.flopsSaved += flopsSaved;
    this.#state.trainableSum += facts.trainable;
    this.#state.stepSeconds.push(facts.seconds);
    if (rollout) this.#state.rollout = addTotals(this.#state.rollout, rollout);
    const frozen = Object.keys(this.#state.frozenAtStep).length;
    return { kind: "step", step, ...facts, loss, frozen, tokens, ...(rollout && { rollout }) };
  }

  addCheck({ step, frozen, blocks }: FreezingCheck): void {
    for (const name of frozen) this.#state.frozenAtStep[name] = step;
    for (let i = 0; i < (blocks?.frozenBlocks ?? 0); i++) this.#state.blocksFrozenAtStep.push(step);
  }

  /**
   * Adds an evaluation and keeps the parameters if it is the best by its first metric, then by its loss, then the latest. The evaluation
   * before the first step is not a result of the run, unless `startCounts` is set.
   */
  addEvaluation(evaluation: EvaluationRecord): void {
    if (evaluation.step === 0 && !this.#startCounts) return;
    const { best } = this;
    this.#state.evaluations.push(evaluation);
    const yields = best?.step === 0 && best.loss < this.#yieldsBelow && !isClearlyWorse(evaluation, best);
    if (best && !yields && !isBetter(evaluation, best)) return;
    this.#state.best = { epoch: evaluation.epoch, parameters: this.parts.parameters.copy() };
  }

  get isSaved(): boolean {
    return this.#savedAt === this.#state.step;
  }

  checkpoint(due: boolean): CheckpointEvent {
    const state = (): TrainingState => {
      this.#savedAt = this.#state.step;
      return this.#stateNow();
    };
    return { kind: "checkpoint", step: this.#state.step, due, state };
  }

  get notes(): string[] {
    const { best } = this;
    if (best?.step !== 0 || this.step === 0) return [];
    const [metric, value] = Object.entries(best.metrics)[0]!;
    return [`training did not beat its starting point (${metric} ${value.toFixed(4)}), which is kept`];
  }

  end(rest: Pick<TrainingEnd, "kept" | "aborted">): TrainingEnd {
    const { parameters } = this.parts;
    const { step, trainableSum, trainableAtStart: start } = this.#state;
    const average = step > 0 ? trainableSum / step : start;
    const trainable = { start, average, end: parameters.count(), head: parameters.headCount };
    return { kind: "end", state: this.#stateNow(), best: this.best, last: this.last, trainable, ...rest };
  }

  #stateNow(): TrainingState {
    const { parameters, optimizer, schedule } = this.parts;
    this.#state.seconds = (performance.now() - this.#started) / 1000;
    return {
      ...this.#state,
      parameters: parameters.copy(),
      start: parameters.start,
      optimizer: optimizer.state(),
      method: schedule.state?.(),
    };
  }
}

/** Results of fitting the head that a run which resumes needs: it does not fit the head again. */
function foundByHead({ model, task }: Pick<TrainOptions, "model" | "task">) {
  const { features: headFeatures } = model;
  const { threshold, options } = findTaskKind(task.kind);
  const asked = Object.entries(task.options ?? {}).filter(([name]) => name in (options?.shape ?? {}));
  return { ...(headFeatures && { headFeatures }), ...(threshold && { taskOptions: Object.fromEntries(asked) }) };
}

function addTotals(sum: RolloutTotals | undefined, step: RolloutTotals): RolloutTotals {
  const { answers = 0, failed = 0, generating = 0, scoring = 0 } = sum ?? {};
  return {
    answers: answers + step.answers,
    failed: failed + step.failed,
    generating: generating + step.generating,
    scoring: scoring + step.scoring,
  };
}

function isBetter(evaluation: EvaluationRecord, best: EvaluationRecord): boolean {
  const [metric, value] = Object.entries(evaluation.metrics)[0]!;
  const before = firstMetric(best);
  if (Object.is(value, before)) return evaluation.loss <= best.loss;
  // The correlation of equal predictions is NaN, as is the mean reward if all rewards failed. Any number is better.
  if (Number.isNaN(before)) return true;
  return lowerIsBetter(metric) ? value < before : value > before;
}

export function isClearlyWorse(
  { metrics, errors = {} }: EvaluationRecord,
  other: EvaluationRecord,
  times = 1,
): boolean {
  const [metric, value] = Object.entries(metrics)[0]!;
  const behind = (lowerIsBetter(metric) ? 1 : -1) * (value - firstMetric(other));
  const chance = times * Math.hypot(errors[metric] || 0, other.errors?.[metric] || 0);
  return Number.isNaN(value) || behind > chance + Number.EPSILON;
}

const firstMetric = ({ metrics }: EvaluationRecord): number => Object.values(metrics)[0]!;
