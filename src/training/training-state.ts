import type { Tensors } from "../graph/tensor.ts";
import type { MethodState } from "../methods/method.ts";
import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";
import type { AdamWState } from "./adamw.ts";
import type { EvaluationRecord } from "./records.ts";
import type { StepOutcome } from "./step.ts";

/** Everything that a run needs to go on from between two steps exactly as if it had not stopped. */
export interface TrainingState {
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
  evaluations: EvaluationRecord[];
  frozenAtStep: Record<string, number>;
  /** Step at which each frozen block froze, from the input side on. */
  blocksFrozenAtStep: number[];
  parameters: Tensors<"float32">;
  best?: { epoch: number; parameters: Tensors<"float32"> };
  optimizer: AdamWState;
  method?: MethodState | undefined;
}

/** What only the owners of the weights, the optimizer and the method can tell. */
export type MovingParts = Pick<TrainingState, "parameters" | "optimizer" | "method">;

/** The state of a run as it proceeds: counts what is done, keeps the best parameters, and gives what a checkpoint holds. */
export class RunProgress {
  readonly #state: Omit<TrainingState, keyof MovingParts>;
  readonly #started: number;

  constructor(resume: TrainingState | undefined, trainableAtStart: number) {
    if (resume) {
      const { parameters, optimizer, method, ...counted } = resume;
      this.#state = { ...counted };
    } else {
      const nothing = { step: 0, tokens: 0, flops: 0, flopsSaved: 0, trainableSum: 0, seconds: 0 };
      const lists = { stepSeconds: [], evaluations: [], blocksFrozenAtStep: [] };
      this.#state = { ...nothing, ...lists, trainableAtStart, frozenAtStep: {} };
    }
    this.#started = performance.now() - this.#state.seconds * 1000;
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#state.step;
  }

  /** Matrices frozen so far. */
  get frozenCount(): number {
    return Object.keys(this.#state.frozenAtStep).length;
  }

  get best(): EvaluationRecord | undefined {
    return this.#state.evaluations.find(({ epoch }) => epoch === this.#state.best?.epoch);
  }

  get last(): EvaluationRecord | undefined {
    return this.#state.evaluations.at(-1);
  }

  /** Trainable parameters, averaged over the steps done. */
  get trainableAverage(): number {
    const { step, trainableSum, trainableAtStart } = this.#state;
    return step > 0 ? trainableSum / step : trainableAtStart;
  }

  /** Evaluations since the best one; 0 where there is none. */
  get evaluationsSinceBest(): number {
    const { best, evaluations } = this.#state;
    return best ? evaluations.length - 1 - evaluations.findIndex(({ epoch }) => epoch === best.epoch) : 0;
  }

  addStep({ tokens, flops, flopsSaved }: StepOutcome, trainable: number, seconds: number): void {
    this.#state.step++;
    this.#state.tokens += tokens;
    this.#state.flops += flops;
    this.#state.flopsSaved += flopsSaved;
    this.#state.trainableSum += trainable;
    this.#state.stepSeconds.push(seconds);
  }

  /** @param step at which they froze, from 0 */
  addFrozen(names: readonly string[], step: number): void {
    for (const name of names) this.#state.frozenAtStep[name] = step;
  }

  /** @param count of blocks that froze at a step */
  addFrozenBlocks(count: number, step: number): void {
    for (let i = 0; i < count; i++) this.#state.blocksFrozenAtStep.push(step);
  }

  /** Takes in an evaluation; the parameters are kept where it is the best by its first metric. */
  addEvaluation(evaluation: EvaluationRecord, parameters: () => Tensors<"float32">): void {
    const { best } = this;
    this.#state.evaluations.push(evaluation);
    if (!best || isBetter(evaluation, best)) this.#state.best = { epoch: evaluation.epoch, parameters: parameters() };
  }

  /** What a run can be resumed from. */
  state(parts: MovingParts): TrainingState {
    this.#state.seconds = (performance.now() - this.#started) / 1000;
    return { ...this.#state, ...parts };
  }
}

function isBetter(evaluation: EvaluationRecord, best: EvaluationRecord): boolean {
  const [metric, value] = Object.entries(evaluation.metrics)[0]!;
  const before = Object.values(best.metrics)[0]!;
  return lowerIsBetter(metric) ? value < before : value > before;
}
