import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ADAPTER_WEIGHTS } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import type { DownloadProgress } from "../checkpoints/hub-download-node.ts";
import { opt, UserError } from "../errors.ts";
import { removeTemporaries } from "../files/atomic-file-node.ts";
import type { RunMemory } from "../preparation/memory-fit-node.ts";
import { flatOptions, type RunConfig } from "../preparation/run-options-node.ts";
import type { TaskData } from "../tasks/example.ts";
import type { RewardFunction } from "../tasks/reward-functions.ts";
import type { NoteEvent, TrainingEnd } from "../training/events.ts";
import type { SpillFile } from "../training/frozen-blocks/hidden-state-cache.ts";
import { emitted, type OnProgress, type ProgressEvent, stageProgress } from "../training/progress.ts";
import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "../training/training-records.ts";
import { CheckpointClock } from "./checkpoint-clock.ts";
import { RunLogs } from "./logs/run-logs.ts";
import { connect, type ServerConnection } from "./many-machines/server.ts";
import { SharedRun } from "./many-machines/shared-run.ts";
import { readRunRecords } from "./read-run.ts";
import { HIDDEN_STATES, RunFolder } from "./run-folder.ts";
import { lockRun } from "./run-lock.ts";
import { prepareRunOfFiles, type RunOfFiles } from "./run-of-files.ts";
import { type RunResult, summarise } from "./run-result.ts";
import { saveVerified } from "./save-verified.ts";
import { openSpillFile } from "./spill-file.ts";

/** State of a run when training begins. */
export interface RunStart {
  kind: "start";
  directory: string;
  config: RunConfig;
  task: TaskData;
  base: BaseModel;
  totalSteps: number;
  /** Number of projection matrices that a schedule may freeze. */
  freezable: number;
  /** Number of steps done before, if the run resumes from a checkpoint. */
  stepsDone: number;
  /** Estimated memory of the run, in bytes. */
  memory: RunMemory;
  /** Notes for the user about the prepared run. */
  notes: readonly string[];
  /** First training example as the model reads it, and which parts count for the loss; if a new run learns to generate text. */
  sample?: readonly { text: string; counts: boolean }[] | undefined;
}

/** Controls how a run starts, reports and ends. */
export interface RunControl {
  /** Replaces an old run in the output folder. */
  overwrite?: boolean;
  /** Resumes the run in the output folder. */
  resume?: boolean;
  /** Pauses after this epoch of the run. Everything that `resume` needs is saved. */
  stopAfter?: number;
  /** Aborting ends training early, as `patience` does: the best evaluation so far counts, or the next one if there is none yet. */
  timeUp?: AbortSignal | undefined;
  /** Whether to train a model that learned from few rows once more on all rows, held-out ones too (default: true). */
  refit?: boolean | undefined;
  /** Whether the adapter learns which texts are unlike the training rows, for answers such as "none of these" (default: true). */
  novelty?: boolean | undefined;
  /**
   * Scores the answers of a run that learns from rewards. Replaces the reward in the options. It runs in this process without
   * a time limit. Pass it again when you resume the run.
   */
  reward?: RewardFunction | undefined;
  /**
   * Lets the workers of a Valkey or Redis server compute the gradients: `redis://[user:password@]host:port[/database]`, or
   * `rediss://` for TLS.
   */
  queue?: {
    url: string;
    /** Receives a note when a worker takes part or is refused, and when there is none. */
    onNote?: ((note: string) => void) | undefined;
    /**
     * Accepts workers, too, whose results differ from this machine's in the last bits. The adapter then depends on which worker computed
     * what.
     */
    mixedProcessors?: boolean | undefined;
  };
  /** Receives the progress of a download from the hub. */
  onDownload?(progress: DownloadProgress): void;
  /**
   * Aborting ends a download or the fitting of a head at once, with the signal's reason. It ends training after the current
   * computation and saves everything that `resume` needs.
   */
  signal?: AbortSignal | undefined;
}

/** Outcome of a run. */
export interface FineTuneOutcome {
  directory: string;
  /** Undefined if the run was aborted or paused. */
  result: RunResult | undefined;
  /** Notes for the user, for example that the model learned nothing. */
  notes: string[];
  /** Why the report of a finished run is missing, and which command repeats it. */
  reportFailure?: string;
}

/**
 * Events of a run: progress of each stage; before the start, notes on the examples, which are among the run's notes, too; the start; the
 * records as they are written, with notes if a log (`log`) fails; the outcome.
 */
export type RunEvent =
  | ProgressEvent
  | NoteEvent
  | RunStart
  | StepRecord
  | FreezingRecord
  | EvaluationRecord
  | ScoresRecord
  | ({ kind: "end" } & FineTuneOutcome);

/**
 * Fine-tunes a model and writes a run folder: records as they come, checkpoints by step or time and after each epoch, and
 * at the end `result.json` and the adapter of the best epoch, which is read back and verified. Yields each event after it is
 * in the run folder. If the caller stops iterating, `resume` continues from the last checkpoint; aborting saves the steps
 * after it, too.
 * @param given keys of `aflora train`'s config file
 * @throws UserError if an option, the data or the model cannot be used; nothing is written then
 */
export async function* fineTuneEvents(
  given: Readonly<Record<string, unknown>>,
  options: RunControl = {},
): AsyncGenerator<RunEvent, void> {
  if (options.resume && options.overwrite) {
    throw new UserError(`${opt("resume")} continues a run and ${opt("overwrite")} replaces it; leave one of them out`);
  }
  const { output } = given;
  // Locks before anything of the run is read: another process may be resuming it. A new run has nothing to lock yet.
  const isRun = options.resume && typeof output === "string" && existsSync(join(output, "config.json"));
  const unlock = isRun ? await lockRun(output) : undefined;
  let server: ServerConnection | undefined;
  try {
    server = options.queue && (await connect(options.queue.url, options.queue.onNote));
    // Removes temporary files, also those of a report that a process did not finish writing.
    if (isRun) await removeTemporaries(output);
    yield* fineTuneInFolder(given, options, server);
  } finally {
    server?.client.disconnect();
    await unlock?.();
  }
}

async function* fineTuneInFolder(
  given: Readonly<Record<string, unknown>>,
  options: RunControl,
  server: ServerConnection | undefined,
): AsyncGenerator<RunEvent, void> {
  const isShared = options.queue !== undefined;
  const prepared = yield* emitted<RunEvent, RunOfFiles>((emit) =>
    prepareRunOfFiles(given, {
      ...options,
      isShared,
      onProgress: emit,
      onNote: (text) => emit({ kind: "note", text }),
    }),
  );
  const { config, saved, task, base, runtime, fineTuning, memory } = prepared;
  if (options.queue?.mixedProcessors && config.run.localSteps !== undefined) {
    await prepared.release();
    throw new UserError(
      `${opt("mixedProcessors")} does not go with ${opt("localSteps")}, whose small differences grow; leave one out`,
    );
  }
  const resume = saved?.found?.state;
  // Before anything is written: a device or a log's server that fails leaves no run folder behind.
  const [logs, folder] = await openPlaces(prepared, options.overwrite === true).catch(async (error) => {
    await prepared.release();
    throw error;
  });
  const { directory } = folder;
  // A device that fails at the run's first step leaves no folder behind either.
  const progress: Progress = {
    isKept: saved !== undefined || runtime.device.isEverywhere === true,
    peakMemory: 0,
    notes: [],
  };
  let machines: SharedRun | undefined;
  try {
    await logs.begin(resume?.step ?? 0);
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
    // Includes the steps before the checkpoint, if the run resumes.
    const before = resume ? (await readRunRecords(directory)).steps : [];
    progress.peakMemory = before.reduce((peak, { memory = 0 }) => Math.max(peak, memory), 0);
    machines = server && (await SharedRun.open(server, prepared, options.queue));
    yield* recordTraining(prepared, folder, progress, logs, { ...options, machines });
    progress.isKept = true;
    const { end: trained } = progress;
    const end =
      trained && !trained.aborted
        ? yield* emitted<RunEvent, RunEvent | undefined>((emit) =>
            finishRun(prepared, folder, progress, trained, { ...options, onProgress: emit }),
          )
        : undefined;
    await logs.close(end ? "finished" : "paused");
    yield* logs.notes();
    yield end ?? { kind: "end", directory, result: undefined, notes: [] };
  } finally {
    await logs.close("failed");
    await machines?.release();
    await (progress.isKept ? folder.close() : folder.discard());
    await prepared.release();
  }
}

interface Progress {
  /** Whether the folder is kept if the run fails. */
  isKept: boolean;
  peakMemory: number;
  notes: string[];
  end?: TrainingEnd;
}

async function* recordTraining(
  { fineTuning, config, machine, runtime, saved }: RunOfFiles,
  folder: RunFolder,
  progress: Progress,
  logs: RunLogs,
  { signal, stopAfter, timeUp, machines }: RunControl & { machines: SharedRun | undefined },
): AsyncGenerator<RunEvent, void> {
  const clock = new CheckpointClock(String(config.run.checkpointEvery), saved?.found?.state.step ?? 0);
  const openSpill = (): Promise<SpillFile> => openSpillFile(folder.path(HIDDEN_STATES));
  for await (const event of fineTuning.train(runtime, { signal, stopAfter, timeUp, machines, openSpill })) {
    const resident = process.memoryUsage.rss();
    progress.peakMemory = Math.max(progress.peakMemory, resident);
    if (event.kind === "step") {
      progress.isKept = true;
      const record = { ...event, ...(machines && { workers: machines.shares.take() }), memory: resident };
      await folder.addMetrics(record);
      await logs.take(record);
      yield record;
      yield* logs.notes();
    } else if (event.kind === "freezing") {
      await folder.addFreezing(event);
      yield event;
    } else if (event.kind === "evaluation") {
      await folder.addMetrics(event);
      await logs.take(event);
      yield event;
      yield* logs.notes();
    } else if (event.kind === "scores") {
      // The examples are the same each time.
      const written = event.epoch === 0 ? event : { ...event, texts: [] };
      await folder.addScores(written);
      yield written;
    } else if (event.kind === "checkpoint") {
      if (!event.due && !clock.isDue(event.step)) continue;
      await folder.saveCheckpoint({ state: event.state(), machine });
      clock.saved(event.step);
    } else if (event.kind === "note") progress.notes.push(event.text);
    else if (event.kind === "progress") yield event;
    else progress.end = event;
  }
}

/**
 * Writes the adapter of the best epoch and `result.json`.
 * @returns undefined if the signal aborted
 * @throws UserError if something cannot be written; resuming writes it
 */
async function finishRun(
  prepared: RunOfFiles,
  folder: RunFolder,
  { peakMemory, notes }: Progress,
  end: TrainingEnd,
  { signal, refit, novelty, onProgress }: RunControl & { onProgress: OnProgress },
): Promise<RunEvent | undefined> {
  const { config, task, base, runtime, fineTuning, memory, dataFingerprint } = prepared;
  const { freezable, blockCount: count } = fineTuning;
  const blocks =
    count > 0
      ? { count, activationsSaved: fineTuning.memoryAtStart.activations - fineTuning.memoryNow.activations }
      : undefined;
  const facts = { base, task, peakMemory, memory, freezable, blocks };
  try {
    const { adapter, calibration, findings, onFloat32, ...finished } = await prepared.finish(end, {
      signal,
      again: refit,
      novelty,
      onProgress,
    });
    await stageProgress(onProgress, "saving the adapter", "files")(0);
    const { model: modelFiles } = dataFingerprint;
    const description = { ...adapter.description, ...(modelFiles && { modelFiles }) };
    await saveVerified(folder.path("adapter"), { ...adapter, description }, finished.base, runtime, task);
    const { size: adapterBytes } = await stat(folder.path("adapter", ADAPTER_WEIGHTS));
    notes.push(...finished.notes);
    // Includes the notes from before, for a run that was cut off and resumed.
    const allNotes = [...fineTuning.notes, ...notes];
    const result = summarise(config, end, { ...facts, onFloat32, adapterBytes, calibration, notes: allNotes });
    if (findings) await folder.writeFindings(findings);
    await folder.writeResult(result);
    return { kind: "end", directory: folder.directory, result, notes };
  } catch (error) {
    if (signal?.aborted && error === signal.reason) return undefined;
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `${error.message}; training has ended and is saved: ${opt("resume")} ${folder.directory} writes what is missing`,
      { cause: error },
    );
  }
}

/** Opens the logs and the folder. If the folder's default name is taken, as by a run of the same second, it gets a number. */
async function openPlaces(prepared: RunOfFiles, overwrite: boolean): Promise<[RunLogs, RunFolder]> {
  const { config, saved } = prepared;
  const isNamed = config.run.output !== undefined;
  for (let number = 1; ; number++) {
    const directory = number === 1 ? prepared.directory : `${prepared.directory}-${number}`;
    if (!isNamed && existsSync(directory)) continue;
    const logs = await RunLogs.open({ directory, config, resumes: saved !== undefined });
    if (isNamed || (await RunFolder.makeNew(directory))) {
      return [logs, await openFolder({ ...prepared, directory }, overwrite)];
    }
  }
}

async function openFolder(
  { directory, saved, config, base, fineTuning, dataFingerprint }: RunOfFiles,
  overwrite: boolean,
): Promise<RunFolder> {
  if (saved) return RunFolder.resume(directory, saved.found);
  const { name: model, revision } = base;
  const run = { ...config.run, model, revision, output: directory, tokenBudget: fineTuning.tokenBudget };
  return RunFolder.create(directory, flatOptions({ ...config, run }), dataFingerprint, overwrite);
}
