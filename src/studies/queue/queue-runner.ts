import { setTimeout as sleep } from "node:timers/promises";
import { hasCheckpoint } from "../../runs/checkpoint-folder.ts";
import type { TrialEnd, TrialRunner } from "../run-study.ts";
import { relocateRun } from "./relocate-run.ts";
import { packRun, unpackRun } from "./run-pack.ts";
import type { QueuedEnd, QueuedTrial, TrialQueue } from "./trial-queue.ts";

/** Milliseconds between two looks at what has come. */
const LOOK = 500;
/** Looks after which it is checked that what is awaited is still on the queue. */
const CHECK = 20;

/**
 * Has trials done by workers: each is put on the queue, and what a worker hands in is unpacked into the trial's folder.
 * @param signal aborting ends the waiting; the trials stay on the queue
 */
export function queueRunner(queue: TrialQueue, signal: AbortSignal): TrialRunner {
  const results = new Awaited(queue, signal);
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  /** A server that is gone answers no more: who is asked to end does not wait for it. */
  const unlessAborted = <T>(answer: Promise<T>): Promise<T | undefined> => Promise.race([answer, aborted]);
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
      // Who goes on with it may have nothing of it; what a worker has left since is further.
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
      // Another study that waited for the same trial has taken its run, or the server has lost it: it is done again.
    }
  };
}

/** What is awaited of a queue, looked for at once for all. */
class Awaited {
  readonly #queue: TrialQueue;
  readonly #signal: AbortSignal;
  #looking: Promise<Map<string, QueuedEnd>> | undefined;

  constructor(queue: TrialQueue, signal: AbortSignal) {
    this.#queue = queue;
    this.#signal = signal;
  }

  /** @param before done before the trial is put on the queue @returns undefined where the waiting was ended */
  async of(trial: QueuedTrial, before: () => Promise<void>): Promise<QueuedEnd | undefined> {
    const known = (await this.#queue.ends()).get(trial.id);
    if (known && answers(known, trial)) {
      // Another study, or an earlier start of this one, had it done; a failure is tried again.
      if (known.end !== "failed") return known;
    }
    if (known) await this.#queue.forget(trial.id, { keepRun: true });
    await before();
    await this.#queue.add(trial);
    for (let looks = 1; !this.#signal.aborted; looks++) {
      const end = (await this.#look()).get(trial.id);
      if (end && answers(end, trial)) return end;
      // A server that came back from an older state has lost it.
      if (looks % CHECK === 0 && !(await this.#queue.has(trial))) {
        const late = (await this.#queue.ends()).get(trial.id);
        if (late && answers(late, trial)) return late;
        await this.#queue.add(trial);
      }
    }
    return undefined;
  }

  /** One look for all who wait. */
  #look(): Promise<Map<string, QueuedEnd>> {
    this.#looking ??= sleep(LOOK, undefined, { signal: this.#signal })
      .catch(() => undefined)
      .then(() => this.#queue.ends())
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }
}

/** Whether a trial's end is what is asked for: one that paused before it is not. */
export function answers(end: QueuedEnd, { stopAfter }: Pick<QueuedTrial, "stopAfter">): boolean {
  return end.end !== "paused" || (stopAfter !== undefined && end.epochs >= stopAfter);
}
