import type { RunLength } from "../../methods/method.ts";
import type { EvaluationRecord, ScoresRecord } from "../records.ts";
import type { TrainOptions } from "../train-options.ts";
import { Evaluator } from "./evaluate.ts";
import { learningNotes } from "./learning-notes.ts";

/** A run's evaluations: when one is due, and what it finds. */
export class ScheduledEvaluations {
  readonly #options: TrainOptions;
  readonly #length: RunLength;
  readonly #taken: EvaluationRecord[];
  /** Steps done at the latest; the one before the first step stands in no state. */
  #latest: number | undefined;
  #evaluator: Evaluator | undefined;
  #alike = false;

  constructor(options: TrainOptions, length: RunLength) {
    const { resume } = options;
    this.#options = options;
    this.#length = length;
    this.#taken = [...(resume?.evaluations ?? [])];
    this.#latest = resume && (this.#taken.at(-1)?.step ?? 0);
  }

  /** Whether the run has begun: what it starts from was evaluated, so that what training gains can be told. */
  get begun(): boolean {
    return this.#latest !== undefined;
  }

  /** What a run that learned nothing says of itself. */
  get notes(): string[] {
    return this.#length.totalSteps === 0 ? [] : learningNotes(this.#taken, this.#alike);
  }

  /** Before the first step, then at the end of each epoch or as often as the settings say, and after the last step. */
  isDue(step: number): boolean {
    const { stepsPerEpoch, totalSteps } = this.#length;
    const { evaluateEvery = stepsPerEpoch } = this.#options.settings;
    return step !== this.#latest && (step % evaluateEvery === 0 || step === totalSteps);
  }

  /** @param step steps done @throws the signal's reason; UserError where outputs are not finite */
  async take(step: number): Promise<{ evaluation: EvaluationRecord; scores?: ScoresRecord }> {
    const { model, weights, runtime, task, settings, validation, contrast, rollout, signal } = this.#options;
    signal?.throwIfAborted();
    if (step > 0) await contrast?.fitHead(weights, runtime, signal);
    if (!rollout) this.#evaluator ??= await Evaluator.compile(model, weights, runtime, task, settings);
    const { alike, scores, ...found } = await (rollout ?? this.#evaluator!).evaluate(validation, signal);
    const epoch = step / this.#length.stepsPerEpoch;
    const evaluation: EvaluationRecord = { kind: "evaluation", ...found, step, epoch };
    this.#taken.push(evaluation);
    this.#latest = step;
    this.#alike = alike;
    return { evaluation, ...(scores && { scores: { kind: "scores", epoch, ...scores } }) };
  }

  async release(): Promise<void> {
    await this.#evaluator?.release();
  }
}
