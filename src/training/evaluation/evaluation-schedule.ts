import type { RunLength } from "../../methods/method.ts";
import { type OnProgress, stageProgress } from "../progress.ts";
import type { TrainOptions } from "../train-options.ts";
import type { EvaluationRecord, ScoresRecord } from "../training-records.ts";
import { Evaluator } from "./evaluate.ts";
import { learningNotes } from "./learning-notes.ts";

export class ScheduledEvaluations {
  readonly #taken: EvaluationRecord[];
  /** Steps done at the latest evaluation. A saved state does not contain the evaluation before the first step. */
  #latest: number | undefined;
  #evaluator: Evaluator | undefined;
  #alike = false;

  constructor(
    private readonly options: TrainOptions,
    private readonly length: RunLength,
  ) {
    const { resume } = options;
    this.#taken = [...(resume?.evaluations ?? [])];
    this.#latest = resume && (this.#taken.at(-1)?.step ?? 0);
  }

  get begun(): boolean {
    return this.#latest !== undefined;
  }

  get notes(): string[] {
    if (this.length.totalSteps === 0) return [];
    const { taughtNothing } = this.options.rollout ?? {};
    return taughtNothing === undefined ? learningNotes(this.#taken, this.#alike) : [taughtNothing];
  }

  /** Whether one is due: before the first step, at the end of each epoch or every `evaluateEvery` steps, and after the last step. */
  isDue(step: number): boolean {
    const { stepsPerEpoch, totalSteps } = this.length;
    const { evaluateEvery = stepsPerEpoch } = this.options.settings;
    return step !== this.#latest && (step % evaluateEvery === 0 || step === totalSteps);
  }

  async take(step: number, onProgress?: OnProgress): Promise<{ evaluation: EvaluationRecord; scores?: ScoresRecord }> {
    const { model, weights, runtime, task, settings, validation, contrast, rollout, signal } = this.options;
    signal?.throwIfAborted();
    if (step > 0) await contrast?.fitHead(weights, runtime, { signal, onProgress });
    if (!rollout) this.#evaluator ??= await Evaluator.compile(model, weights, runtime, task, settings);
    const { alike, scores, ...found } = await (rollout ?? this.#evaluator!).evaluate(
      validation,
      signal,
      stageProgress(onProgress, "evaluating"),
    );
    const epoch = step / this.length.stepsPerEpoch;
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
