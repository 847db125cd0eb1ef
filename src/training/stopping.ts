import type { RunLength } from "../methods/method.ts";
import type { RunProgress } from "./run-progress.ts";
import type { TrainOptions } from "./train-options.ts";

type Ends = Pick<TrainOptions, "settings" | "signal" | "timeUp" | "stopAfter">;

export class Stopping {
  constructor(
    private readonly options: Ends,
    private readonly progress: RunProgress,
    private readonly length: RunLength,
  ) {}

  /** Whether the run has ended: no step is left, its patience is exhausted, or its time is up and it has a best evaluation. */
  get atEnd(): boolean {
    const { settings, timeUp } = this.options;
    const { step, best, evaluationsSinceBest } = this.progress;
    return (
      step >= this.length.totalSteps ||
      (settings.patience !== undefined && evaluationsSinceBest >= settings.patience) ||
      (timeUp?.aborted === true && best !== undefined)
    );
  }

  /** Whether the run stops here: it has ended, was aborted, or pauses after `stopAfter` epochs. */
  get now(): boolean {
    const { signal, stopAfter } = this.options;
    const pauses = stopAfter !== undefined && this.progress.step >= stopAfter * this.length.stepsPerEpoch;
    return this.atEnd || pauses || signal?.aborted === true;
  }
}

/** Result of a computation; undefined if the signal aborted it. */
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
