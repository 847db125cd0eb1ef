import { join, resolve } from "node:path";
import { refuseOtherFiles } from "../checkpoints/file-hashes-node.ts";
import type { DownloadProgress } from "../checkpoints/hub-download-node.ts";
import { BUNDLED_MODEL } from "../inference/bundled-model.ts";
import { type LoadedBaseModel, loadBaseModel } from "../inference/load-base-model-node.ts";
import { requireBaseFormat } from "../runtime/devices.ts";
import { deviceNote, openDevice } from "../runtime/devices-node.ts";
import type { RewardFunction } from "../tasks/rewards.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { type OpenRuntime, type PreparedRun, type PrepareOptions, prepareRun } from "../trainer/prepare-run.ts";
import { type FoundCheckpoint, findCheckpoint } from "./checkpoint-folder.ts";
import { type DataFingerprint, fingerprintOf, refuseOtherData } from "./data-fingerprint.ts";
import { loadTask } from "./load-task.ts";
import { type Machine, machineNote, thisMachine } from "./machine.ts";
import { refuseUnlessTexts } from "./many-machines/shard.ts";
import { fitIntoMemory, float32TooLarge, type RunMemory } from "./memory-fit.ts";
import { openAdapter } from "./open-adapter.ts";
import { openReward, scoredBy } from "./open-reward.ts";
import {
  type DataSource,
  type GivenConfig,
  parseOptions,
  type RunConfig,
  type RunSettings,
  withAbsolutePaths,
} from "./run-config.ts";
import { runtimeFor } from "./runtime-for.ts";
import { savedRun } from "./saved-run.ts";
import { withAdapterOptions } from "./starting-adapter.ts";

/** A run of this machine's files, ready to train. */
export interface RunOfFiles extends PreparedRun<RunSettings, RunMemory, LoadedBaseModel> {
  /** Absolute. */
  directory: string;
  /** With absolute paths. */
  config: RunConfig;
  dataFingerprint: DataFingerprint;
  machine: Machine;
  /** Of a run that goes on: the checkpoint that it goes on from, undefined where it was cut off before the first. */
  saved?: { found: FoundCheckpoint | undefined } | undefined;
}

/**
 * Reads what a run's options name and prepares it; nothing is written. Errors name files as the user did.
 * @param given keys of `aflora train`'s config file
 * @throws UserError where an option, the data, the model or the device cannot be used.
 */
export async function prepareFromFiles(
  given: Readonly<Record<string, unknown>>,
  {
    resume = false,
    onDownload: onProgress,
    reward,
    isShared = false,
    ...options
  }: PrepareOptions & {
    resume?: boolean | undefined;
    reward?: RewardFunction | undefined;
    /** Whether workers compute its steps. */
    isShared?: boolean | undefined;
    onDownload?: ((progress: DownloadProgress) => void) | undefined;
  } = {},
): Promise<RunOfFiles> {
  const saved = resume ? await savedRun(given) : undefined;
  const { adapter: adapterName, model, revision, offline } = saved?.config.run ?? (given as Partial<RunSettings>);
  const asking = { offline: offline === true, onProgress, signal: options.signal };
  const adapter = adapterName && (await openAdapter(String(adapterName), { ...asking, model, revision }));
  const asked = saved ? settled(saved.config) : parseOptions(adapter ? withAdapterOptions(given, adapter) : given);
  const { run, method, source } = asked;
  const directory = resolve(run.output ?? join("runs", defaultName(asked)));
  const whose = `the run in ${directory}`;
  if (saved) await refuseOtherData(saved.dataFingerprint, whose, "restore the file or start a new run");
  const found = saved && (await findCheckpoint(directory, saved.stepsRecorded));
  const hub = { ...asking, revision: run.revision };
  // What the run and its adapter call their model holds in any folder.
  const { model: wanted = BUNDLED_MODEL } = withAbsolutePaths(asked).run;
  const recorded = { fileHashes: saved?.dataFingerprint.model, whose };
  const prepared = await prepareRun(
    { method, base: run.base, settle: asked.settle, adapter: adapter || undefined, resume: found?.state },
    {
      async readTask() {
        const task = await loadTask(asked, asking, saved?.dataFingerprint);
        if (isShared) refuseUnlessTexts(findTaskKind(task.kind));
        return task;
      },
      async readBase(format, task, onTokenizer) {
        const reading = { ...hub, format, recorded, onTokenizer };
        const base = await loadBaseModel(wanted, task, run.seed, reading);
        const made = adapter ? adapter.description.modelFiles : undefined;
        if (made && given.model === undefined)
          await refuseOtherFiles(base.files, made, `the adapter in ${adapterName}`);
        return base;
      },
      openRuntime: () => openRuntime(run),
      fitMemory: fitIntoMemory,
      openReward: async (options) =>
        reward ? scoredBy(reward) : openReward(options, () => runtimeFor({ threads: run.threads })),
      float32TooLarge,
    },
    options,
  );
  const machine = thisMachine(prepared.runtime);
  const elsewhere = found && machineNote(found.machine, machine);
  return {
    ...prepared,
    directory,
    config: withAbsolutePaths({ source, run: prepared.settings, method }),
    dataFingerprint: { ...(await fingerprintOf(prepared.task)), model: await prepared.loaded.fileHashes?.() },
    machine,
    saved: saved && { found },
    notes: [...prepared.notes, ...(found?.notes ?? []), ...(elsewhere ? [elsewhere] : [])],
  };
}

/** Options that a run was given before: all of them. */
const settled = (config: RunConfig): GivenConfig => ({ ...config, settle: () => config.run });

async function openRuntime(run: Pick<RunSettings, "base" | "device" | "threads">): Promise<OpenRuntime> {
  const runtime = runtimeFor(run);
  requireBaseFormat(runtime.device, run.base);
  if (runtime.device.isEverywhere) return { runtime };
  const opened = await openDevice(runtime);
  return { runtime, note: deviceNote(opened), release: () => opened.session.release() };
}

function defaultName({ source, method }: Pick<GivenConfig, "source" | "method">): string {
  const time = new Date().toISOString().slice(0, 19).replace(/:/g, "").replace("T", "-");
  return `${subjectOf(source).replace(/^.*[/\\]/, "")}-${method.name}-${time}`;
}

/** What the examples are, as a folder's name begins. */
function subjectOf(source: DataSource): string {
  if ("task" in source) return source.task;
  if ("train" in source) return source.train.replace(/\.\w+$/, "");
  return source.datasetConfig ?? source.dataset.replace(/@.*$/, "");
}
