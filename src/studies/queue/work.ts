import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job } from "bullmq";
import { UserError } from "../../errors.ts";
import { loadTask } from "../../fine-tuning/load-task-node.ts";
import { parseOptions, resolveConfig, withAbsolutePaths } from "../../fine-tuning/run-options-node.ts";
import { hasCheckpoint } from "../../runs/checkpoint-folder.ts";
import { workOnRuns } from "../../runs/many-machines/run-worker.ts";
import { connectionOf, loadBullmq } from "../../runs/many-machines/server.ts";
import { isFinished } from "../../runs/read-run.ts";
import { isRunLocked } from "../../runs/run-lock.ts";
import { namesCode } from "../../tasks/reward-functions.ts";
import { RunChecker } from "../check-run.ts";
import { goesOn, type TrialEnd, type TrialJob } from "../run-study.ts";
import { Identifier, type TrialIdentity, trialId } from "../trial-identity.ts";
import { answers } from "./queue-runner.ts";
import { relocateRun } from "./relocate-run.ts";
import { NO_CODE, packRun, unpackRun } from "./run-pack.ts";
import { parseQueuedTrial, QUEUE, type QueuedEnd, type QueuedTrial, TrialQueue } from "./trial-queue.ts";

/** Milliseconds between two words of how far a trial is. */
const SAY = 2000;

/** How often, and at intervals of how many milliseconds, it is looked whether a lost worker's child has ended. */
const LOCKED_LOOKS = 60;
const LOCKED_LOOK = 500;

export interface WorkOptions {
  url: string;
  /** Folder of the runs; where other workers reach it too, they go on from its checkpoints. */
  directory: string;
  /** Options of how runs are computed here. */
  compute: Readonly<Record<string, unknown>>;
  /** Seconds after which a worker that does not say that it is there is taken for lost. */
  lostAfter: number;
  /** Does a trial in a process of its own. */
  run(job: Omit<TrialJob, "trial" | "label">, onStep: (step: number, totalSteps: number) => void): Promise<TrialEnd>;
  /** Aborting gives the trial at hand back and ends the work. */
  signal: AbortSignal;
  onReady?(address: string): void;
  onNote?(note: string): void;
}

/**
 * Takes trials from a queue, and shards of runs, until the signal ends it. A trial is trained in a child process while this one says that it is
 * there; who says nothing for `lostAfter` seconds is taken for lost, another takes the trial, and its late result is refused.
 * @throws UserError where the queue cannot be used, or this machine's copy of data or model is another than the study's
 */
// Long because a refusal, the end and the trial at hand are shared by what trains, what hands in and what closes.
export async function work({
  url,
  directory,
  compute,
  lostAfter,
  run,
  signal,
  onReady,
  onNote,
}: WorkOptions): Promise<void> {
  const queue = await TrialQueue.open(url);
  const { Worker, WaitingError } = await loadBullmq();
  const name = `${hostname()}:${process.pid}`;
  let refusal: UserError | undefined;
  let atHand: Promise<unknown> = Promise.resolve();
  let ended = (): void => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });

  const giveBack = async (job: Job, lock: string | undefined): Promise<never> => {
    await job.moveToWait(lock);
    throw new WaitingError();
  };

  /** Trains a trial, or goes on with it. @returns what to hand in; undefined where it is to be given back */
  const train = async (trial: QueuedTrial, token: string): Promise<HandedIn | undefined> => {
    const folder = await folderOf(directory, trial.id, token);
    const config = { ...trial.config, ...compute, output: folder };
    const before = await queue.result(trial.id);
    if (before && !(await goesOn(folder, trial.identity))) await unpackRun(before, folder);
    const resume = await goesOn(folder, trial.identity);
    if (resume) await relocateRun(folder, config);
    onNote?.(`${trial.id}: ${trial.label}`);
    let said = 0;
    const running = run(
      { directory: folder, config, resume, stopAfter: trial.stopAfter, reported: trial.reported },
      (step, totalSteps) => {
        if (Date.now() - said < SAY) return;
        said = Date.now();
        void queue
          .say(trial.id, { worker: name, label: trial.label, step, totalSteps, at: said })
          .catch(() => undefined);
      },
    );
    atHand = running;
    const outcome = await running;
    if (outcome === "interrupted") {
      try {
        // Who goes on with it may not reach this folder.
        if ((await hasCheckpoint(folder)) && (await queue.isCurrent(trial.id, token))) {
          await queue.putResult(trial.id, await packRun(folder));
        }
      } catch (error) {
        onNote?.(`${trial.id}: what is done stays in ${folder}: ${(error as Error).message}`);
      }
      return undefined;
    }
    if (typeof outcome === "object") return { end: { end: "failed", reason: outcome.failed } };
    return { end: await endOf(folder, trial), packed: await packRun(folder) };
  };

  let busy = false;
  const act = async (job: Job<unknown>, lock?: string): Promise<void> => {
    busy = true;
    await take(job, lock).finally(() => {
      busy = false;
    });
  };

  const take = async (job: Job<unknown>, lock?: string): Promise<void> => {
    const trial = parseQueuedTrial(job.data);
    const known = (await queue.ends()).get(trial.id);
    if (known && answers(known, trial)) return;
    if (signal.aborted || refusal) return giveBack(job, lock);
    const invalid = whyInvalid(trial);
    try {
      if (invalid === undefined) await refuseOtherCopies(trial, compute);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refusal = error;
      ended();
      return giveBack(job, lock);
    }
    const token = await queue.takeFence(trial.id);
    // A trial that ends without a word would be put on the queue again, for ever.
    const failed = (reason: string): HandedIn => ({ end: { end: "failed", reason } });
    const handedIn =
      invalid === undefined
        ? await train(trial, token).catch((error: unknown) => failed((error as Error).message))
        : failed(invalid);
    if (!handedIn) {
      onNote?.(`${trial.id}: given back`);
      return giveBack(job, lock);
    }
    try {
      const accepted = await queue.accept(trial.id, token, handedIn.end, handedIn.packed);
      onNote?.(
        `${trial.id}: ${accepted ? told(handedIn.end) : "result refused: another worker has taken the trial since"}`,
      );
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // What is done lies in the folder, and is handed in when the trial comes here again.
      refusal = error;
      ended();
      return giveBack(job, lock);
    }
  };

  const worker = new Worker<unknown>(QUEUE, act, {
    connection: connectionOf(url),
    lockDuration: 1000 * lostAfter,
    stalledInterval: 1000 * lostAfter,
    // Each worker that is lost counts once; how many are is no reason to give a trial up.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
  });
  // A connection that breaks is made again; a trial whose lock was lost meanwhile is told by its fence.
  worker.on("error", () => {});
  worker.on("failed", (job, { message }) => onNote?.(`${job?.id}: ${message}`));
  signal.addEventListener("abort", ended, { once: true });
  if (signal.aborted) ended();
  const stopsRuns = new AbortController();
  const runs = workOnRuns({
    ...{ url, directory, compute, onNote, signal: stopsRuns.signal },
    isBusy: () => busy,
    onServing: (serves) => (serves ? void worker.pause(true) : worker.resume()),
  });
  runs.catch((error: unknown) => {
    refusal ??= error as UserError;
    ended();
  });
  await worker.waitUntilReady();
  onReady?.(queue.address);
  await end;
  stopsRuns.abort();
  await runs.catch(() => undefined);
  const closed = worker.close().then(() => true);
  const gone = (async (): Promise<boolean> => {
    while (await queue.answers()) await sleep(SAY);
    return false;
  })();
  if (await Promise.race([closed, gone])) await queue.close();
  else {
    // It cannot be given back: the server will find it lost.
    await atHand;
    onNote?.(`the queue's server at ${queue.address} does not answer; what is done is saved here`);
  }
  if (refusal) throw refusal;
}

/** What a trial has come to, and its run where there is one to keep. */
interface HandedIn {
  end: QueuedEnd;
  packed?: Buffer;
}

const told = (end: QueuedEnd): string => (end.end === "failed" ? `failed: ${end.reason}` : end.end);

/**
 * The trial's folder, with what a lost worker has left in it; one of its own where that one, or a file of its, still holds
 * the folder.
 */
async function folderOf(directory: string, id: string, token: string): Promise<string> {
  const folder = join(directory, id);
  // A lost worker's child saves what it has, and ends.
  for (let looks = 0; await isRunLocked(folder); looks++) {
    if (looks === LOCKED_LOOKS) return `${folder}-${token}`;
    await sleep(LOCKED_LOOK);
  }
  return folder;
}

async function endOf(folder: string, { stopAfter }: QueuedTrial): Promise<QueuedEnd> {
  if (stopAfter === undefined || (await isFinished(folder))) return { end: "finished" };
  return { end: "paused", epochs: stopAfter };
}

/** Why a trial's options work on no machine, whatever lies there; undefined where they may. */
function whyInvalid({ config }: QueuedTrial): string | undefined {
  try {
    return namesCode(parseOptions(config).run.taskOptions) ? NO_CODE : undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

/** @throws UserError where what lies here is not what the study was planned with, naming what differs. */
async function refuseOtherCopies(trial: QueuedTrial, compute: Readonly<Record<string, unknown>>): Promise<void> {
  const given = { ...trial.config, ...compute };
  const asGiven = resolveConfig(given);
  const task = await loadTask(asGiven, { offline: asGiven.run.offline });
  const config = await new RunChecker().resolve(given, task);
  const file = trial.reported && "validation" in trial.reported ? trial.reported.validation : undefined;
  const own = await new Identifier().identify(withAbsolutePaths(config), task, file);
  for (const [part, called] of Object.entries(PARTS) as [keyof TrialIdentity, string][]) {
    if (JSON.stringify(own[part]) === JSON.stringify(trial.identity[part])) continue;
    throw new UserError(
      `${called} of trial ${trial.id} (${trial.label}) differ on this machine from where the study was planned; copy the same here, or let other workers take it`,
    );
  }
  if (trial.id !== trialId(own)) {
    throw new UserError(
      `trial ${trial.id} (${trial.label}) has another name in this version of aflora, ${trialId(own)}; use the study's version here, or let other workers take it`,
    );
  }
}

const PARTS: Record<keyof TrialIdentity, string> = {
  data: "the data",
  model: "the model's files",
  options: "the options, as this version of aflora reads them,",
};
