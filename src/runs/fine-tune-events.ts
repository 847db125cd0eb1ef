import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { removeTemporaries } from "../files/atomic-file-node.ts";
import type { RunMemory } from "../fine-tuning/memory-fit-node.ts";
import type { PrepareOptions } from "../fine-tuning/prepare-run.ts";
import { flatOptions, type RunConfig } from "../fine-tuning/run-options-node.ts";
import { ADAPTER_WEIGHTS } from "../model/adapter.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { DownloadProgress } from "../model-files/hub-download-node.ts";
import type { TaskData } from "../tasks/example.ts";
import type { RewardFunction } from "../tasks/reward-functions.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { SpillFile } from "../training/frozen-blocks/hidden-state-cache.ts";
import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "../training/records.ts";
import { CheckpointClock } from "./checkpoint-clock.ts";
import { connect, type ServerConnection } from "./many-machines/server.ts";
import { SharedRun } from "./many-machines/shared-run.ts";
import type { SharedRunOptions } from "./many-machines/shared-run-options.ts";
import { readRunRecords } from "./read-run.ts";
import type { RunResult } from "./records.ts";
import { HIDDEN_STATES, RunFolder } from "./run-folder.ts";
import { lockRun } from "./run-lock.ts";
import { prepareRunOfFiles, type RunOfFiles } from "./run-of-files.ts";
import { summarise } from "./run-result.ts";
import { saveVerified } from "./save-verified.ts";
import { openSpillFile } from "./spill-file.ts";

/** What is known when training begins. */
export interface RunStart {
  kind: "start";
  directory: string;
  config: RunConfig;
  task: TaskData;
  base: BaseModel;
  totalSteps: number;
  /** Number of projection matrices that a schedule may freeze. */
  freezable: number;
  /** Steps done before, where the run goes on from a checkpoint. */
  stepsDone: number;
  /** What it is expected to take, bytes. */
  memory: RunMemory;
  /** What a person should know before it begins. */
  notes: readonly string[];
  /** The first training example as the model reads it, where the run starts and learns to write: what of it counts. */
  sample?: readonly { text: string; counts: boolean }[] | undefined;
}

/** How a run is begun, followed and ended. */
export interface RunControl extends PrepareOptions {
  /** Replace an old run in the output folder. */
  overwrite?: boolean;
  /** Go on with the run in the output folder. */
  resume?: boolean;
  /** Pause after this many epochs of the run, with everything saved that `resume` needs. */
  stopAfter?: number;
  /** Aborting ends training early, as patience does: the best evaluation so far counts, or the first that comes. */
  timeUp?: AbortSignal | undefined;
  /** Whether a model that learned few rows is trained once more on all of them, held-out ones too; it is where absent. */
  refit?: boolean | undefined;
  /**
   * What scores answers of a run that learns from rewards, rather than what its options name. It runs in this process, without a
   * time limit, and is given again where the run is resumed.
   */
  reward?: RewardFunction | undefined;
  /**
   * Has its steps' gradients computed by the workers of a Valkey or Redis server: `redis://[user:password@]host:port[/database]`, or
   * `rediss://` over TLS.
   */
  queue?: SharedRunOptions & { url: string };
  /** Told while a model or a data set comes from the hub. */
  onDownload?(progress: DownloadProgress): void;
  /**
   * Aborting ends a download or the fitting of a head at once, with the signal's reason, and a run after the computation at hand,
   * with everything saved that `resume` needs.
   */
  signal?: AbortSignal | undefined;
}

/** The last thing that a run tells. */
export interface RunEnd extends RunOutcome {
  kind: "end";
}

/** What a run tells as it goes on: what is known when training begins, its records as they are written, and what it came to. */
export type RunEvent = RunStart | StepRecord | FreezingRecord | EvaluationRecord | ScoresRecord | RunEnd;

export interface RunOutcome {
  directory: string;
  /** Undefined where the run was aborted or paused. */
  result: RunResult | undefined;
  /** What the user should know: that nothing was learned, perhaps. */
  notes: string[];
}

/**
 * Fine-tunes a model as `given` says (keys of `aflora train`'s config file) and writes a run folder: records as they come,
 * checkpoints by step or time and each epoch, and at the end the best epoch's adapter, read back from disk and compared, and
 * `result.json`. What happens is told as a stream, each event when it is in the run folder. Who takes no further event ends the run
 * where its last checkpoint is, from which `resume` goes on; aborting saves what is done since, too.
 * @throws UserError where an option, the data or the model cannot be used; then nothing is written.
 */
export async function* fineTuneEvents(
  given: Readonly<Record<string, unknown>>,
  options: RunControl = {},
): AsyncGenerator<RunEvent, void> {
  const { output } = given;
  // Before anything of a run is read: another process may be going on with it. Else there is nothing to lock yet.
  const isRun = options.resume && typeof output === "string" && existsSync(join(output, "config.json"));
  const unlock = isRun ? await lockRun(output) : undefined;
  let server: ServerConnection | undefined;
  try {
    server = options.queue && (await connect(options.queue.url));
    // Of a report, too, during which a process ended: the run itself may have finished.
    if (isRun) await removeTemporaries(output);
    yield* fineTuneInFolder(given, options, server);
  } finally {
    server?.client.disconnect();
    await unlock?.();
  }
}

// Long because it is the order of a run: what is written, what is told, what is released after.
async function* fineTuneInFolder(
  given: Readonly<Record<string, unknown>>,
  options: RunControl,
  server: ServerConnection | undefined,
): AsyncGenerator<RunEvent, void> {
  const prepared = await prepareRunOfFiles(given, { ...options, isShared: options.queue !== undefined });
  const { directory, config, machine, saved, task, base, runtime, fineTuning, memory } = prepared;
  if (options.queue?.mixedProcessors && config.run.localSteps !== undefined) {
    await prepared.release();
    throw new UserError(
      "--mixed-processors does not go with --local-steps, whose small differences grow; leave one out",
    );
  }
  const resume = saved?.found?.state;
  // Before anything is written: a device that fails leaves no run folder behind.
  const folder = await openFolder(prepared, options.overwrite === true).catch(async (error) => {
    await prepared.release();
    throw error;
  });
  // Neither does one that passed its trial and fails at the run's first step.
  let kept = saved !== undefined || runtime.device.isEverywhere === true;
  let machines: SharedRun | undefined;
  const clock = new CheckpointClock(String(config.run.checkpointEvery), resume?.step ?? 0);
  try {
    yield {
      kind: "start",
      directory,
      config,
      task,
      base,
      totalSteps: fineTuning.totalSteps,
      freezable: fineTuning.freezable.length,
      stepsDone: resume?.step ?? 0,
      sample: resume ? undefined : fineTuning.sample,
      memory,
      notes: prepared.notes,
    };
    // Of the steps before the cut too, where the run goes on.
    const before = resume ? (await readRunRecords(directory)).steps : [];
    let peakMemory = before.reduce((peak, { memory = 0 }) => Math.max(peak, memory), 0);
    let outcome: TrainingEnd | undefined;
    const notes: string[] = [];
    machines = server && (await SharedRun.open(server, prepared, options.queue));
    const control = { signal: options.signal, stopAfter: options.stopAfter, timeUp: options.timeUp, machines };
    const openSpill = (): Promise<SpillFile> => openSpillFile(folder.path(HIDDEN_STATES));
    for await (const event of fineTuning.train(runtime, { ...control, openSpill })) {
      const resident = process.memoryUsage.rss();
      peakMemory = Math.max(peakMemory, resident);
      if (event.kind === "step") {
        kept = true;
        const record = { ...event, ...(machines && { workers: machines.shares.take() }), memory: resident };
        await folder.addMetrics(record);
        yield record;
      } else if (event.kind === "freezing") {
        await folder.addFreezing(event);
        yield event;
      } else if (event.kind === "evaluation") {
        await folder.addMetrics(event);
        yield event;
      } else if (event.kind === "scores") {
        // The examples are the same each time.
        const written = event.epoch === 0 ? event : { ...event, texts: [] };
        await folder.addScores(written);
        yield written;
      } else if (event.kind === "checkpoint") {
        if (!event.due && !clock.isDue(event.step)) continue;
        await folder.saveCheckpoint({ state: event.state(), machine });
        clock.saved(event.step);
      } else if (event.kind === "note") notes.push(event.text);
      else outcome = event;
    }
    kept = true;
    const unfinished: RunEnd = { kind: "end", directory, result: undefined, notes: [] };
    if (!outcome || outcome.aborted) return yield unfinished;

    const { freezable, blockCount: count } = fineTuning;
    const blocks = count > 0 ? { count, memoryAtEnd: fineTuning.memoryNow } : undefined;
    const facts = { base, task, peakMemory, memory, freezable, blocks };
    try {
      const finished = await prepared.finish(outcome, { signal: options.signal, again: options.refit });
      const { calibration, onFloat32 } = finished;
      const { model: modelFiles } = prepared.dataFingerprint;
      const description = { ...finished.adapter.description, ...(modelFiles && { modelFiles }) };
      const best = { ...finished.adapter, description };
      await saveVerified(folder.path("adapter"), best, finished.base, runtime, task);
      const { size: adapterBytes } = await stat(folder.path("adapter", ADAPTER_WEIGHTS));
      notes.push(...finished.notes);
      // What a run that was cut off and went on says, too.
      const said = [...fineTuning.notes, ...notes];
      const result = summarise(config, outcome, { ...facts, onFloat32, adapterBytes, calibration, notes: said });
      await folder.writeResult(result);
      yield { kind: "end", directory, result, notes };
    } catch (error) {
      // Training has ended and is saved: what is missing is written when the run goes on.
      if (options.signal?.aborted && error === options.signal.reason) return yield unfinished;
      if (!(error instanceof UserError)) throw error;
      throw new UserError(
        `${error.message}; training has ended and is saved: --resume ${directory} writes what is missing`,
      );
    }
  } finally {
    await machines?.release();
    await (kept ? folder.close() : folder.discard());
    await prepared.release();
  }
}

/** The run's folder: a new one with its options and what its data are, or the one that it goes on in. */
async function openFolder(
  { directory, saved, config, base, fineTuning, dataFingerprint }: RunOfFiles,
  overwrite: boolean,
): Promise<RunFolder> {
  if (saved) return RunFolder.resume(directory, saved.found);
  const { name: model, revision } = base;
  const run = { ...config.run, model, revision, output: directory, tokenBudget: fineTuning.tokenBudget };
  return RunFolder.create(directory, flatOptions({ ...config, run }), dataFingerprint, overwrite);
}
