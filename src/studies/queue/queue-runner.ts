import { setTimeout as sleep } from "node:timers/promises";
import { hasCheckpoint } from "../../runs/checkpoint-folder.ts";
import { unlessAborted as orAborted } from "../../runs/many-machines/server.ts";
import type { TrialEnd, TrialRunner } from "../run-study.ts";
import { relocateRun } from "./relocate-run.ts";
import { packRun, unpackRun } from "./run-pack.ts";
import type { QueuedEnd, QueuedTrial, TrialQueue } from "./trial-queue.ts";

const POLL_INTERVAL = 500;
/** Number of polls after which the runner checks that the trials are still on the queue. */
const POLLS_PER_CHECK = 20;

/**
 * Lets workers run trials. Adds each trial to the queue, and unpacks the worker's result into the trial's folder.
 * @param signal aborting ends the waiting; the trials stay on the queue
 */
export function queueRunner(queue: TrialQueue, signal: AbortSignal): TrialRunner {
  const results = new AwaitedEnds(queue, signal);
  /** A server that is gone never answers, so an abort does not wait for it. */
  const unlessAborted = <T>(answer: Promise<T>): Promise<T | undefined> =>
    orAborted(answer, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      return undefined;
    });
  return async ({ trial, label, directory, config, stopAfter, reported }): Promise<TrialEnd> => {
    const { output: _, ...options } = config;
    const queued: QueuedTrial = {
      id: trial.id,
      label: `${label}, seed ${trial.seed}`,
      identity: trial.identity,
      config: options,
      stopAfter,
      reported,
    };
    const offer = async (): Promise<void> => {
      // The next worker may not have this checkpoint. If a worker has left one since, that one is more recent.
      if (await hasCheckpoint(directory)) {
        await queue.putResult(trial.id, await packRun(directory), { replace: false });
      }
    };
    for (;;) {
      const end = await unlessAborted(results.of(queued, offer));
      if (!end) return "interrupted";
      if (end.end === "failed") {
        await unlessAborted(queue.forget(trial.id));
        return { failed: end.reason };
      }
      const packed = await unlessAborted(queue.result(trial.id));
      if (!packed && signal.aborted) return "interrupted";
      if (packed) {
        await unpackRun(packed, directory);
        await relocateRun(directory, config);
      }
      await unlessAborted(queue.forget(trial.id));
      if (packed) return end.end;
      // Another study with the same trial has taken its run, or the server has lost it: run it again.
    }
  };
}

class AwaitedEnds {
  #polling: Promise<Map<string, QueuedEnd>> | undefined;

  constructor(
    private readonly queue: TrialQueue,
    private readonly signal: AbortSignal,
  ) {}

  /** @param before called before the trial is added to the queue @returns undefined if the signal aborted */
  async of(trial: QueuedTrial, before: () => Promise<void>): Promise<QueuedEnd | undefined> {
    const known = (await this.queue.ends()).get(trial.id);
    if (known && answers(known, trial)) {
      // Another study, or an earlier start of this one, ran it. Failed trials are tried again.
      if (known.end !== "failed") return known;
    }
    if (known) await this.queue.forget(trial.id, { keepRun: true });
    await before();
    await this.queue.add(trial);
    for (let polls = 1; !this.signal.aborted; polls++) {
      const end = (await this.#poll()).get(trial.id);
      if (end && answers(end, trial)) return end;
      // A server that was restored from an older state has lost the trial.
      if (polls % POLLS_PER_CHECK === 0 && !(await this.queue.has(trial))) {
        const late = (await this.queue.ends()).get(trial.id);
        if (late && answers(late, trial)) return late;
        await this.queue.add(trial);
      }
    }
    return undefined;
  }

  #poll(): Promise<Map<string, QueuedEnd>> {
    this.#polling ??= sleep(POLL_INTERVAL, undefined, { signal: this.signal })
      .catch(() => undefined)
      .then(() => this.queue.ends())
      .finally(() => {
        this.#polling = undefined;
      });
    return this.#polling;
  }
}

/** Whether a trial's end is the requested one. An earlier pause is not. */
export function answers(end: QueuedEnd, { stopAfter }: Pick<QueuedTrial, "stopAfter">): boolean {
  return end.end !== "paused" || (stopAfter !== undefined && end.epochs >= stopAfter);
}
