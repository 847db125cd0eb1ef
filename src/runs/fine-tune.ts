import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { removeTemporaries } from "../checkpoints/atomic-file-node.ts";
import { refuseOtherFiles } from "../checkpoints/file-hashes-node.ts";
import type { DownloadProgress } from "../checkpoints/hub-download-node.ts";
import { UserError } from "../errors.ts";
import { ADAPTER_WEIGHTS } from "../inference/adapter.ts";
import { type BaseModel, withHead } from "../inference/base-model.ts";
import { BUNDLED_MODEL } from "../inference/bundled-model.ts";
import { type LoadedBaseModel, loadBaseModel } from "../inference/load-base-model-node.ts";
import type { BaseFormat } from "../models/base-format.ts";
import { cutsByteProducts } from "../runtime/byte-products.ts";
import { requireBaseFormat } from "../runtime/devices.ts";
import { deviceNote, openDevice } from "../runtime/devices-node.ts";
import type { TaskData } from "../tasks/example.ts";
import { FineTuning } from "../trainer/fine-tuning.ts";
import { fittedNote, startFromFittedHead } from "../trainer/fitted-head.ts";
import { startFrom } from "../trainer/start.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { SpillFile } from "../training/frozen-blocks/hidden-state-cache.ts";
import type { EvaluationRecord, FreezingRecord, ScoresRecord, StepRecord } from "../training/records.ts";
import { CheckpointClock } from "./checkpoint-clock.ts";
import { findCheckpoint } from "./checkpoint-folder.ts";
import { fingerprintOf, refuseOtherData } from "./data-fingerprint.ts";
import { loadTask } from "./load-task.ts";
import { machineNote, thisMachine } from "./machine.ts";
import { fitIntoMemory, float32TooLarge, type RunMemory } from "./memory-fit.ts";
import { openAdapter } from "./open-adapter.ts";
import { readRunRecords } from "./read-run.ts";
import type { RunResult } from "./records.ts";
import {
  type DataSource,
  flatOptions,
  type RunConfig,
  resolveConfig,
  resolveFor,
  runtimeFor,
  withAbsolutePaths,
} from "./run-config.ts";
import { HIDDEN_STATES, RunFolder } from "./run-folder.ts";
import { lockRun } from "./run-lock.ts";
import { summarise } from "./run-result.ts";
import { saveVerified } from "./save-verified.ts";
import { savedRun } from "./saved-run.ts";
import { openSpillFile } from "./spill-file.ts";
import { withAdapterOptions } from "./starting-adapter.ts";

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

export interface FineTuneOptions {
  /** Replace an old run in the output folder. */
  overwrite?: boolean;
  /** Go on with the run in the output folder. */
  resume?: boolean;
  /** Pause after this many epochs of the run, with everything saved that `resume` needs. */
  stopAfter?: number;
  /** Aborting ends training early, as patience does: the best evaluation so far counts, or the first that comes. */
  timeUp?: AbortSignal | undefined;
  /** Told while a model or a data set comes from the hub. */
  onDownload?(progress: DownloadProgress): void;
  onStart?(start: RunStart): void | Promise<void>;
  onStep?(record: StepRecord): void | Promise<void>;
  onFreezingCheck?(record: FreezingRecord): void | Promise<void>;
  onEvaluation?(record: EvaluationRecord): void | Promise<void>;
  onScores?(record: ScoresRecord): void | Promise<void>;
  /**
   * Aborting ends a download at once, with the signal's reason, and a run after the computation at hand, with everything
   * saved that `resume` needs.
   */
  signal?: AbortSignal;
}

/** The last thing that a run tells. */
export interface RunEnd extends FineTuneOutcome {
  kind: "end";
}

/** What a run tells as it goes on: what is known when training begins, its records as they are written, and what it came to. */
export type RunEvent = RunStart | StepRecord | FreezingRecord | EvaluationRecord | ScoresRecord | RunEnd;

export interface FineTuneOutcome {
  directory: string;
  /** Undefined where the run was aborted or paused. */
  result: RunResult | undefined;
  /** What the user should know: that nothing was learned, perhaps. */
  notes: string[];
}

/**
 * Fine-tunes a model as `given` says (keys of `aflora train`'s config file) and writes a run folder: records as they come,
 * checkpoints by step or time and each epoch, and at the end the best epoch's adapter, read back from disk and compared, and `result.json`.
 * @throws UserError where an option, the data or the model cannot be used; then nothing is written.
 */
export async function fineTune(
  given: Readonly<Record<string, unknown>>,
  options: FineTuneOptions = {},
): Promise<FineTuneOutcome> {
  let end: RunEnd | undefined;
  for await (const event of fineTuneEvents(given, options)) {
    await tell(options, event);
    if (event.kind === "end") end = event;
  }
  const { kind, ...outcome } = end!;
  return outcome;
}

/** Calls whoever is to hear of an event. */
export async function tell(options: FineTuneOptions, event: RunEvent): Promise<void> {
  if (event.kind === "start") await options.onStart?.(event);
  else if (event.kind === "step") await options.onStep?.(event);
  else if (event.kind === "freezing") await options.onFreezingCheck?.(event);
  else if (event.kind === "evaluation") await options.onEvaluation?.(event);
  else if (event.kind === "scores") await options.onScores?.(event);
}

/**
 * The same run as a stream of what happens, each told when it is in the run folder. Who takes no further event ends the run where its
 * last checkpoint is, from which `resume` goes on; aborting saves what is done since, too.
 * @throws UserError as {@link fineTune}
 */
export async function* fineTuneEvents(
  given: Readonly<Record<string, unknown>>,
  options: Omit<FineTuneOptions, "onStart" | "onStep" | "onFreezingCheck" | "onEvaluation" | "onScores"> = {},
): AsyncGenerator<RunEvent, void> {
  const { output } = given;
  // Before anything of a run is read: another process may be going on with it. Else there is nothing to lock yet.
  const isRun = options.resume && typeof output === "string" && existsSync(join(output, "config.json"));
  const unlock = isRun ? await lockRun(output) : undefined;
  try {
    // Of a report, too, during which a process ended: the run itself may have finished.
    if (isRun) await removeTemporaries(output);
    yield* fineTuneInFolder(given, options);
  } finally {
    await unlock?.();
  }
}

// Long because it is the order of a run: what may fail before anything is written, what is written, what is released after.
async function* fineTuneInFolder(
  given: Readonly<Record<string, unknown>>,
  options: FineTuneOptions,
): AsyncGenerator<RunEvent, void> {
  const asked = { offline: given.offline === true, onProgress: options.onDownload, signal: options.signal };
  const saved = options.resume ? await savedRun(given) : undefined;
  const withOptions = saved ? given : await withAdapterOptions(given, asked);
  const asGiven = saved?.config ?? resolveConfig(withOptions);
  const directory = resolve(asGiven.run.output ?? join("runs", defaultName(asGiven)));
  const { revision, offline } = asGiven.run;
  const hub = { ...asked, offline };
  if (saved) {
    await refuseOtherData(saved.dataFingerprint, `the run in ${directory}`, "restore the file or start a new run");
  }
  // Errors name files as the user did.
  const read = await loadTask(asGiven, hub, saved?.dataFingerprint);
  const { model, seed, base: format } = asGiven.run;
  const dataFingerprint = await fingerprintOf(read);
  const recorded = { fileHashes: saved?.dataFingerprint.model, whose: `the run in ${directory}` };
  const load = (format: BaseFormat, task: TaskData): Promise<LoadedBaseModel> =>
    loadBaseModel(model ?? BUNDLED_MODEL, task, seed, { ...hub, revision, format, recorded });
  const loaded = await load(format, read);
  const config = withAbsolutePaths(saved?.config ?? resolveFor(withOptions, read, loaded.pooling));
  const { run } = config;
  const modelFiles = await loaded.fileHashes?.();
  const adapter =
    run.adapter === undefined ? undefined : await openAdapter(run.adapter, { ...hub, model: loaded.files.location });
  if (adapter?.description.modelFiles && given.model === undefined) {
    await refuseOtherFiles(loaded.files, adapter.description.modelFiles, `the adapter in ${run.adapter}`);
  }
  const found = saved && (await findCheckpoint(directory, saved.stepsRecorded));
  const resume = found?.state;
  const runtime = runtimeFor(run);
  const features = adapter ? adapter.description.task.features : run.headFeatures;
  const began = {
    base: features ? await withHead(loaded, { ...read, features }, run.seed) : loaded,
    task: { ...read, features },
    settings: run,
  };
  // Before anything is written: a device that fails leaves no run folder behind.
  requireBaseFormat(runtime.device, run.base);
  const opened = runtime.device.isEverywhere ? undefined : await openDevice(runtime);
  const headed =
    adapter || resume
      ? undefined
      : await startFromFittedHead(began, runtime, options.signal).catch(async (error) => {
          await opened?.session.release();
          throw error;
        });
  const { base, task } = headed ?? began;
  const start = adapter && startFrom(base, adapter);
  const fineTuning = new FineTuning({ base, task, method: config.method, settings: run, start, resume });
  const slow = opened && deviceNote(opened);
  const inexact = run.base === "int8" && (await cutsByteProducts(runtime));
  const { memory, notes: memoryNotes } = fitIntoMemory(fineTuning, runtime.device);

  const folder = await (saved
    ? RunFolder.resume(directory, found)
    : RunFolder.create(
        directory,
        flatOptions({
          ...config,
          run: {
            ...run,
            model: base.name,
            revision: base.revision,
            output: directory,
            tokenBudget: fineTuning.tokenBudget,
            ...(headed && { headFeatures: headed.fitted.features }),
          },
        }),
        { ...dataFingerprint, ...(modelFiles && { model: modelFiles }) },
        options.overwrite === true,
      )
  ).catch(async (error) => {
    await opened?.session.release();
    throw error;
  });
  const machine = thisMachine(runtime);
  const elsewhere = found && machineNote(found.machine, machine);
  // Neither does one that passed its trial and fails at the run's first step.
  let kept = saved !== undefined || opened === undefined;
  const clock = new CheckpointClock(String(run.checkpointEvery), resume?.step ?? 0);
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
      notes: [
        ...memoryNotes,
        ...(slow ? [slow] : []),
        ...(inexact ? [INEXACT_BYTES] : []),
        ...(headed ? [fittedNote(headed)] : []),
        ...(resume ? [] : fineTuning.notes),
        ...(found?.notes ?? []),
        ...(elsewhere ? [elsewhere] : []),
      ],
    };
    // Of the steps before the cut too, where the run goes on.
    const before = resume ? (await readRunRecords(directory)).steps : [];
    let peakMemory = before.reduce((peak, { memory = 0 }) => Math.max(peak, memory), 0);
    let outcome: TrainingEnd | undefined;
    const notes: string[] = [];
    const control = { signal: options.signal, stopAfter: options.stopAfter, timeUp: options.timeUp };
    const openSpill = (): Promise<SpillFile> => openSpillFile(folder.path(HIDDEN_STATES));
    for await (const event of fineTuning.train(runtime, { ...control, openSpill })) {
      const resident = process.memoryUsage.rss();
      peakMemory = Math.max(peakMemory, resident);
      if (event.kind === "step") {
        kept = true;
        const record = { ...event, memory: resident };
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
      const { adapter: found, calibration } = await fineTuning.bestAdapter(outcome, runtime, options.signal);
      const best = { ...found, description: { ...found.description, ...(modelFiles && { modelFiles }) } };
      const tooLarge = run.base === "float32" ? undefined : float32TooLarge(base);
      const exact = run.base === "float32" || tooLarge ? base : await load("float32", task);
      await saveVerified(folder.path("adapter"), best, exact, runtime, task);
      const onFloat32 = exact === base ? undefined : await fineTuning.evaluateOn(exact, best, runtime, options.signal);
      const { size: adapterBytes } = await stat(folder.path("adapter", ADAPTER_WEIGHTS));
      const result = summarise(config, outcome, { ...facts, onFloat32, adapterBytes, calibration });
      await folder.writeResult(result);
      yield { kind: "end", directory, result, notes: [...notes, ...(tooLarge ? [tooLarge] : [])] };
    } catch (error) {
      // Training has ended and is saved: what is missing is written when the run goes on.
      if (options.signal?.aborted && error === options.signal.reason) return yield unfinished;
      if (!(error instanceof UserError)) throw error;
      throw new UserError(
        `${error.message}; training has ended and is saved: --resume ${directory} writes what is missing`,
      );
    }
  } finally {
    await (kept ? folder.close() : folder.discard());
    await opened?.session.release();
  }
}

const INEXACT_BYTES =
  "this processor cuts off large sums of products of bytes (it has no VNNI), so that an int8 base is not multiplied exactly; --base float32 is";

function defaultName({ source, method }: RunConfig): string {
  const time = new Date().toISOString().slice(0, 19).replace(/:/g, "").replace("T", "-");
  return `${subjectOf(source).replace(/^.*[/\\]/, "")}-${method.name}-${time}`;
}

/** What the examples are, as a folder's name begins. */
function subjectOf(source: DataSource): string {
  if ("task" in source) return source.task;
  if ("train" in source) return source.train.replace(/\.\w+$/, "");
  return source.datasetConfig ?? source.dataset.replace(/@.*$/, "");
}
