import type { RunLength } from "../methods/method.ts";
import type { RunProgress } from "./run-progress.ts";
import type { TrainOptions } from "./train-options.ts";

type Ends = Pick<TrainOptions, "settings" | "signal" | "timeUp" | "stopAfter">;

/** Says when a run takes no further step. */
export class Stopping {
  readonly #options: Ends;
  readonly #progress: RunProgress;
  readonly #length: RunLength;

  constructor(options: Ends, progress: RunProgress, length: RunLength) {
    this.#options = options;
    this.#progress = progress;
    this.#length = length;
  }

  /** Whether the run is at its end: no step is left, patience is, or its time is up and there is something to show. */
  get atEnd(): boolean {
    const { settings, timeUp } = this.#options;
    const { step, best, evaluationsSinceBest } = this.#progress;
    return (
      step >= this.#length.totalSteps ||
      (settings.patience !== undefined && evaluationsSinceBest >= settings.patience) ||
      (timeUp?.aborted === true && best !== undefined)
    );
  }

  /** Whether it is at its end, or stops here to go on later: it was aborted, or is to pause after these epochs. */
  get now(): boolean {
    const { signal, stopAfter } = this.#options;
    const pauses = stopAfter !== undefined && this.#progress.step >= stopAfter * this.#length.stepsPerEpoch;
    return this.atEnd || pauses || signal?.aborted === true;
  }
}

/** What a computation gives; undefined where the signal ended it. */
export async function unlessAborted<Value>(
  computation: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value | undefined> {
  try {
    return await computation;
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return undefined;
    throw error;
  }
}
