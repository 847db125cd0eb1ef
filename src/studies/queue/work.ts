import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../errors.ts";
import { hasCheckpoint } from "../../runs/checkpoint-folder.ts";
import { RunWorker } from "../../runs/many-machines/run-worker.ts";
import { line } from "../../runs/many-machines/server.ts";
import { isFinished } from "../../runs/read-run.ts";
import { isRunLocked } from "../../runs/run-lock.ts";
import { hasUsableRun, type TrialEnd, type TrialJob } from "../run-study.ts";
import { refuseOtherCopies, whyInvalid } from "./check-trial.ts";
import { answers } from "./queue-runner.ts";
import { relocateRun } from "./relocate-run.ts";
import { packRun, unpackRun } from "./run-pack.ts";
import { type Lease, parseQueuedTrial, type QueuedEnd, type QueuedTrial, TrialQueue } from "./trial-queue.ts";

const REPORT_INTERVAL = 2000;

const POLL_INTERVAL = 500;

/** Number of polls, and milliseconds between them, for the end of a lost worker's child process. */
const LOCK_POLLS = 60;
const LOCK_POLL_INTERVAL = 500;

export interface WorkOptions {
  url: string;
  /** Folder of the runs. If other workers share it, they resume from its checkpoints. */
  directory: string;
  compute: Readonly<Record<string, unknown>>;
  /** Seconds without a sign of life after which a worker counts as lost. */
  lostAfter: number;
  /** Seconds without a trial or a run after which the work ends (default: never). */
  untilIdle?: number | undefined;
  /** Number of trials after which the work ends (default: no limit). */
  trials?: number | undefined;
  run(job: Omit<TrialJob, "trial" | "label">, onStep: (step: number, totalSteps: number) => void): Promise<TrialEnd>;
  /** Aborting gives the current trial back and ends the work. */
  signal: AbortSignal;
  /** @param counts reads the numbers of waiting and running trials on the server */
  onReady?(address: string, counts: () => Promise<{ waiting: number; active: number }>): void;
  onNote?(note: string): void;
  onWork?(done: WorkDone): void;
}

export type WorkDone = { steps: number } | { trial: QueuedEnd["end"] } | { shards: number };

export type WorkEnd = "asked" | "idle" | "trials";

/**
 * Takes trials from a queue, and shards of runs, until the signal aborts or a limit of the options is reached. A child process trains the
 * trial, while this process renews its lease. A worker that does not for `lostAfter` seconds counts as lost: another takes its trial, and
 * its late result is refused.
 * @throws UserError if the queue cannot be used, if its server has gone when nothing is left to do, or if this machine's copy of the data
 *   or model differs from the study's
 */
export async function work(options: WorkOptions): Promise<WorkEnd> {
  const { url, directory, compute, lostAfter, untilIdle = Number.POSITIVE_INFINITY, signal, onNote, onWork } = options;
  const queue = await TrialQueue.open(url, true, onNote);
  const trials = new TrialWorker(queue, options);
  const end = (): void => trials.end("asked");
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  const stop = new AbortController();
  const runs = new RunWorker(queue.client, {
    ...{ directory, compute, onNote, signal: stop.signal },
    onShard: () => onWork?.({ shards: 1 }),
  });
  /** When this worker last did something; undefined while it does. */
  let idleSince: number | undefined = performance.now();
  const doNext = async (): Promise<boolean> => {
    const lease = await queue.take(lostAfter);
    const run = lease ? undefined : await runs.find();
    if (!lease && run === undefined) return false;
    idleSince = undefined;
    if (lease && stop.signal.aborted) await queue.giveBack(lease);
    else if (lease) await trials.take(lease);
    else await runs.serve(run!);
    idleSince = performance.now();
    return true;
  };
  const working = (async () => {
    try {
      while (!stop.signal.aborted) {
        // A server that is full, or begins, may answer at the next look.
        if (!(await doNext().catch(unlessRefused))) await sleep(POLL_INTERVAL);
      }
    } catch (error) {
      trials.refuse(error as Error);
    }
  })();
  options.onReady?.(queue.address, () => queue.counts());
  const looking = setInterval(() => {
    if (idleSince !== undefined && performance.now() - idleSince >= 1000 * untilIdle) trials.end("idle");
  }, POLL_INTERVAL);
  const why = await trials.ended;
  clearInterval(looking);
  signal.removeEventListener("abort", end);
  stop.abort();
  if (why === "idle" && !(await queue.answers())) {
    queue.close();
    throw new UserError(`the queue's server at ${queue.address} does not answer; start it, or check the address`);
  }
  if (await Promise.race([working.then(() => true), untilGone(queue)])) queue.close();
  else {
    // The trial cannot be given back: its lease ends.
    await trials.running;
    onNote?.(`the queue's server at ${queue.address} does not answer; what is done is saved here`);
  }
  if (trials.refusal) throw trials.refusal;
  return why;
}

/** @returns false if the server refused a command @throws every other error */
function unlessRefused(error: Error): false {
  if (error.name !== "ReplyError") throw error;
  return false;
}

/** Waits until a queue's server no longer answers. @returns false */
async function untilGone(queue: TrialQueue): Promise<boolean> {
  while (await queue.answers()) await sleep(REPORT_INTERVAL);
  return false;
}

class TrialWorker {
  readonly #name = `${hostname()}:${process.pid}`;
  /** Why this worker takes no more trials. */
  refusal: Error | undefined;
  running: Promise<unknown> = Promise.resolve();
  end = (_why: WorkEnd): void => {};
  #handedIn = 0;
  /** Resolves after `end` or `refuse`. */
  readonly ended = new Promise<WorkEnd>((resolve) => {
    this.end = resolve;
  });

  constructor(
    private readonly queue: TrialQueue,
    private readonly options: WorkOptions,
  ) {}

  /** Ends the work with an error. The first one counts. */
  refuse(error: Error): void {
    this.refusal ??= error;
    this.end("asked");
  }

  async take(lease: Lease): Promise<void> {
    const { onNote, lostAfter } = this.options;
    const renewing = setInterval(
      () => void this.queue.renew(lease, lostAfter).catch(() => undefined),
      (1000 * lostAfter) / 3,
    );
    try {
      if (await this.#isDone(lease)) await this.queue.remove(lease);
      else await this.queue.giveBack(lease);
    } catch (error) {
      // It would come back forever.
      onNote?.(`${line.parse(lease.id)}: ${(error as Error).message}`);
      await this.queue.remove(lease);
    } finally {
      clearInterval(renewing);
    }
  }

  /** @returns false if the trial must go back to the queue */
  async #isDone({ data, token }: Lease): Promise<boolean> {
    const { signal, compute, onNote } = this.options;
    const trial = parseQueuedTrial(data);
    const known = (await this.queue.ends()).get(trial.id);
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

  get #hasAll(): boolean {
    return this.#handedIn >= (this.options.trials ?? Number.POSITIVE_INFINITY);
  }

  /** @returns false if the server is full: the folder keeps the result, which is handed in when the trial comes here again */
  async #handIn({ id }: QueuedTrial, token: string, { end, packed }: HandedIn): Promise<boolean> {
    try {
      const accepted = await this.queue.accept(id, token, end, packed);
      const result = end.end === "failed" ? `failed: ${end.reason}` : end.end;
      this.options.onWork?.({ trial: end.end });
      this.options.onNote?.(`${id}: ${accepted ? result : "result refused: another worker has taken the trial since"}`);
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.refuse(error);
      return false;
    }
  }

  /** Trains or resumes a trial. @returns its result; undefined if it was interrupted */
  async #train(trial: QueuedTrial, token: string): Promise<HandedIn | undefined> {
    const { directory, compute, run, onNote } = this.options;
    const folder = await folderOf(directory, trial.id, token);
    const config = { ...trial.config, ...compute, output: folder };
    const before = await this.queue.result(trial.id);
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

  #reporter({ id, label }: QueuedTrial): (step: number, totalSteps: number) => void {
    let at = 0;
    let before: number | undefined;
    return (step, totalSteps) => {
      // A resumed trial begins beyond its first step.
      this.options.onWork?.({ steps: step - (before ?? step - 1) });
      before = step;
      if (Date.now() - at < REPORT_INTERVAL) return;
      at = Date.now();
      void this.queue.reportProgress(id, { worker: this.#name, label, step, totalSteps, at }).catch(() => undefined);
    };
  }

  /** Stores the run of an interrupted trial on the server: the next worker may not reach this folder. */
  async #leaveCheckpoint({ id }: QueuedTrial, token: string, folder: string): Promise<void> {
    try {
      if ((await hasCheckpoint(folder)) && (await this.queue.isCurrent(id, token))) {
        await this.queue.putResult(id, await packRun(folder));
      }
    } catch (error) {
      this.options.onNote?.(`${id}: what is done stays in ${folder}: ${(error as Error).message}`);
    }
  }
}

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
