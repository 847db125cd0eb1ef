import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job } from "bullmq";
import { UserError } from "../../errors.ts";
import { hasCheckpoint } from "../../runs/checkpoint-folder.ts";
import { workOnRuns } from "../../runs/many-machines/run-worker.ts";
import { connectionOf, loadBullmq } from "../../runs/many-machines/server.ts";
import { isFinished } from "../../runs/read-run.ts";
import { isRunLocked } from "../../runs/run-lock.ts";
import { hasUsableRun, type TrialEnd, type TrialJob } from "../run-study.ts";
import { refuseOtherCopies, whyInvalid } from "./check-trial.ts";
import { answers } from "./queue-runner.ts";
import { relocateRun } from "./relocate-run.ts";
import { packRun, unpackRun } from "./run-pack.ts";
import { parseQueuedTrial, QUEUE, type QueuedEnd, type QueuedTrial, TrialQueue } from "./trial-queue.ts";

/** Milliseconds between two reports of a trial's progress. */
const REPORT_INTERVAL = 2000;

/** Milliseconds between two looks whether this worker has nothing to do. */
const IDLE_POLL = 200;

/** Number of polls, and milliseconds between them, for the end of a lost worker's child process. */
const LOCK_POLLS = 60;
const LOCK_POLL_INTERVAL = 500;

export interface WorkOptions {
  url: string;
  /** Folder of the runs. If other workers share it, they resume from its checkpoints. */
  directory: string;
  /** Options for computing on this machine. */
  compute: Readonly<Record<string, unknown>>;
  /** Seconds without a sign of life after which a worker counts as lost. */
  lostAfter: number;
  /** Seconds without a trial or a run after which the work ends (default: never). */
  untilIdle?: number | undefined;
  /** Number of trials after which the work ends (default: no limit). */
  trials?: number | undefined;
  /** Runs a trial in a separate process. */
  run(job: Omit<TrialJob, "trial" | "label">, onStep: (step: number, totalSteps: number) => void): Promise<TrialEnd>;
  /** Aborting gives the current trial back and ends the work. */
  signal: AbortSignal;
  /** @param counts reads the numbers of waiting and running trials on the server */
  onReady?(address: string, counts: () => Promise<{ waiting: number; active: number }>): void;
  onNote?(note: string): void;
  /** Receives what this worker has done, as it happens. */
  onWork?(done: WorkDone): void;
}

/** A worker's progress: steps of a trial, a trial with its end, or a shard of a run. */
export type WorkDone = { steps: number } | { trial: QueuedEnd["end"] } | { shards: number };

/** Why a worker ended: it was asked to, nothing was left to do, or it has taken its number of trials. */
export type WorkEnd = "asked" | "idle" | "trials";

/**
 * Takes trials from a queue, and shards of runs, until the signal aborts or a limit of the options is reached. A child process trains the trial, while this process sends signs of
 * life. A worker without one for `lostAfter` seconds counts as lost: another takes its trial, and its late result is refused.
 * @throws UserError if the queue cannot be used, if its server has gone when nothing is left to do, or if this machine's copy of the data
 *   or model differs from the study's
 */
export async function work(options: WorkOptions): Promise<WorkEnd> {
  const { url, directory, compute, lostAfter, untilIdle, signal, onReady, onNote, onWork } = options;
  const queue = await TrialQueue.open(url);
  const { Worker, WaitingError } = await loadBullmq();
  const trials = new TrialWorker(queue, options);
  let isBusy = false;
  let serves = false;
  const act = async (job: Job<unknown>, lock?: string): Promise<void> => {
    isBusy = true;
    try {
      if (await trials.take(job.data)) return;
      await job.moveToWait(lock);
      throw new WaitingError();
    } finally {
      isBusy = false;
    }
  };
  const worker = new Worker<unknown>(QUEUE, act, {
    connection: connectionOf(url),
    lockDuration: 1000 * lostAfter,
    stalledInterval: 1000 * lostAfter,
    // Each lost worker counts as one stall. No number of them is a reason to give a trial up.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
  });
  // A broken connection reconnects. If the lock of a trial was lost, its fence refuses the result.
  worker.on("error", () => {});
  worker.on("failed", (job, { message }) => onNote?.(`${job?.id}: ${message}`));
  const end = (): void => trials.end("asked");
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const stopsRuns = new AbortController();
  const runs = workOnRuns({
    ...{ url, directory, compute, onNote, signal: stopsRuns.signal },
    isBusy: () => isBusy,
    onServing: (isServing) => {
      serves = isServing;
      if (isServing) void worker.pause(true);
      else worker.resume();
    },
    onShard: () => onWork?.({ shards: 1 }),
  });
  runs.catch((error: unknown) => trials.refuse(error as UserError));
  await worker.waitUntilReady();
  onReady?.(queue.address, () => queue.counts());
  const idle = untilIdle === undefined ? undefined : new IdleTime(untilIdle, () => isBusy || serves);
  void idle?.over.then(() => trials.end("idle"));
  const why = await trials.ended;
  idle?.stop();
  stopsRuns.abort();
  await runs.catch(() => undefined);
  if (why === "idle" && !(await queue.answers())) {
    throw new UserError(`the queue's server at ${queue.address} does not answer; start it, or check the address`);
  }
  const closed = worker.close().then(() => true);
  if (await Promise.race([closed, untilGone(queue)])) await queue.close();
  else {
    // The trial cannot be given back: the server will notice the lost worker.
    await trials.running;
    onNote?.(`the queue's server at ${queue.address} does not answer; what is done is saved here`);
  }
  if (trials.refusal) throw trials.refusal;
  return why;
}

/** Time without work. */
class IdleTime {
  #timer: NodeJS.Timeout | undefined;
  /** Resolves when nothing was done for the given time. */
  readonly over: Promise<void>;

  constructor(seconds: number, isWorking: () => boolean) {
    let since = performance.now();
    this.over = new Promise((resolve) => {
      this.#timer = setInterval(() => {
        if (isWorking()) since = performance.now();
        else if (performance.now() - since >= 1000 * seconds) resolve();
      }, IDLE_POLL);
    });
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Waits until a queue's server no longer answers. @returns false */
async function untilGone(queue: TrialQueue): Promise<boolean> {
  while (await queue.answers()) await sleep(REPORT_INTERVAL);
  return false;
}

/** Trains the trials of a queue, one at a time. */
class TrialWorker {
  readonly #queue: TrialQueue;
  readonly #options: WorkOptions;
  readonly #name = `${hostname()}:${process.pid}`;
  /** Why this worker takes no more trials. */
  refusal: UserError | undefined;
  /** The current trial's process. */
  running: Promise<unknown> = Promise.resolve();
  end = (_why: WorkEnd): void => {};
  /** Number of trials that this worker has handed in. */
  #handedIn = 0;
  /** Resolves after `end` or `refuse`. */
  readonly ended = new Promise<WorkEnd>((resolve) => {
    this.end = resolve;
  });

  constructor(queue: TrialQueue, options: WorkOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Ends the work with an error. The first one counts. */
  refuse(error: UserError): void {
    this.refusal ??= error;
    this.end("asked");
  }

  /** Trains a trial and hands in its result. @returns false if the trial must go back to the queue */
  async take(data: unknown): Promise<boolean> {
    const { signal, compute, onNote } = this.#options;
    const trial = parseQueuedTrial(data);
    const known = (await this.#queue.ends()).get(trial.id);
    if (known && answers(known, trial)) return true;
    if (signal.aborted || this.refusal || this.#hasAll) return false;
    const invalid = whyInvalid(trial);
    try {
      if (invalid === undefined) await refuseOtherCopies(trial, compute);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.refuse(error);
      return false;
    }
    const token = await this.#queue.takeFence(trial.id);
    // A trial that ended without a result would return to the queue forever.
    const failed = (reason: string): HandedIn => ({ end: { end: "failed", reason } });
    const handedIn =
      invalid === undefined
        ? await this.#train(trial, token).catch((error: unknown) => failed((error as Error).message))
        : failed(invalid);
    if (!handedIn) {
      onNote?.(`${trial.id}: given back`);
      return false;
    }
    const isHandedIn = await this.#handIn(trial, token, handedIn);
    if (isHandedIn) this.#handedIn++;
    if (this.#hasAll) this.end("trials");
    return isHandedIn;
  }

  /** Whether this worker has taken its number of trials. */
  get #hasAll(): boolean {
    return this.#handedIn >= (this.#options.trials ?? Number.POSITIVE_INFINITY);
  }

  /** @returns false if the server is full: the folder keeps the result, which is handed in when the trial comes here again */
  async #handIn({ id }: QueuedTrial, token: string, { end, packed }: HandedIn): Promise<boolean> {
    try {
      const accepted = await this.#queue.accept(id, token, end, packed);
      const result = end.end === "failed" ? `failed: ${end.reason}` : end.end;
      this.#options.onWork?.({ trial: end.end });
      this.#options.onNote?.(
        `${id}: ${accepted ? result : "result refused: another worker has taken the trial since"}`,
      );
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.refuse(error);
      return false;
    }
  }

  /** Trains or resumes a trial. @returns its result; undefined if it was interrupted */
  async #train(trial: QueuedTrial, token: string): Promise<HandedIn | undefined> {
    const { directory, compute, run, onNote } = this.#options;
    const folder = await folderOf(directory, trial.id, token);
    const config = { ...trial.config, ...compute, output: folder };
    const before = await this.#queue.result(trial.id);
    if (before && !(await hasUsableRun(folder, trial.identity))) await unpackRun(before, folder);
    const resume = await hasUsableRun(folder, trial.identity);
    if (resume) await relocateRun(folder, config);
    onNote?.(`${trial.id}: ${trial.label}`);
    const { stopAfter, reported } = trial;
    const running = run({ directory: folder, config, resume, stopAfter, reported }, this.#reporter(trial));
    this.running = running;
    const outcome = await running;
    if (outcome === "interrupted") {
      await this.#leaveCheckpoint(trial, token, folder);
      return undefined;
    }
    if (typeof outcome === "object") return { end: { end: "failed", reason: outcome.failed } };
    return { end: await endOf(folder, trial), packed: await packRun(folder) };
  }

  /** Returns a callback that reports a trial's progress to the queue from time to time. */
  #reporter({ id, label }: QueuedTrial): (step: number, totalSteps: number) => void {
    let at = 0;
    let before: number | undefined;
    return (step, totalSteps) => {
      // A resumed trial begins beyond its first step.
      this.#options.onWork?.({ steps: step - (before ?? step - 1) });
      before = step;
      if (Date.now() - at < REPORT_INTERVAL) return;
      at = Date.now();
      void this.#queue.reportProgress(id, { worker: this.#name, label, step, totalSteps, at }).catch(() => undefined);
    };
  }

  /** Stores the run of an interrupted trial on the server: the next worker may not reach this folder. */
  async #leaveCheckpoint({ id }: QueuedTrial, token: string, folder: string): Promise<void> {
    try {
      if ((await hasCheckpoint(folder)) && (await this.#queue.isCurrent(id, token))) {
        await this.#queue.putResult(id, await packRun(folder));
      }
    } catch (error) {
      this.#options.onNote?.(`${id}: what is done stays in ${folder}: ${(error as Error).message}`);
    }
  }
}

/** A trial's end, and its run if there is one to keep. */
interface HandedIn {
  end: QueuedEnd;
  packed?: Buffer;
}

/** Folder of a trial, with the run of a lost worker. A new folder if a process of that worker still holds the lock. */
async function folderOf(directory: string, id: string, token: string): Promise<string> {
  const folder = join(directory, id);
  // A lost worker's child process saves its run and ends.
  for (let polls = 0; await isRunLocked(folder); polls++) {
    if (polls === LOCK_POLLS) return `${folder}-${token}`;
    await sleep(LOCK_POLL_INTERVAL);
  }
  return folder;
}

async function endOf(folder: string, { stopAfter }: QueuedTrial): Promise<QueuedEnd> {
  if (stopAfter === undefined || (await isFinished(folder))) return { end: "finished" };
  return { end: "paused", epochs: stopAfter };
}
