import type { Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import { type StepSettings, TrainingStep } from "./step.ts";
import type { AdaptedModel } from "./step-graph.ts";

/** The training step for what trains now, compiled again when that changes. */
export class CurrentStep {
  readonly #compile: () => Promise<TrainingStep>;
  #step: TrainingStep;

  private constructor(step: TrainingStep, compile: () => Promise<TrainingStep>) {
    this.#step = step;
    this.#compile = compile;
  }

  /** @param schedule says what trains and what is frozen, now and whenever the step is compiled again */
  static async compile(
    model: AdaptedModel,
    schedule: Schedule,
    weights: Tensors,
    runtime: Runtime,
    settings: StepSettings,
  ): Promise<CurrentStep> {
    const compile = (): Promise<TrainingStep> =>
      TrainingStep.compile(
        { ...model, trainable: schedule.trainable(), frozenBlocks: schedule.frozenBlocks?.() },
        weights,
        runtime,
        settings,
      );
    return new CurrentStep(await compile(), compile);
  }

  run(...args: Parameters<TrainingStep["run"]>): ReturnType<TrainingStep["run"]> {
    return this.#step.run(...args);
  }

  /** The old step goes only when the new one is there, so that a failure leaves one to release. @returns seconds */
  async compileAgain(): Promise<number> {
    const next = await this.#compile();
    await this.#step.release();
    this.#step = next;
    return next.compileSeconds;
  }

  /** Frees the step's graphs; it can run no more. */
  release(): Promise<void> {
    return this.#step.release();
  }
}
