import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { type LoadedBaseModel, openModel } from "../base-models/load-base-model-node.ts";
import { openAdapter } from "../base-models/open-adapter-node.ts";
import { refuseOtherFiles } from "../checkpoints/file-hashes-node.ts";
import type { DownloadProgress } from "../checkpoints/hub-download-node.ts";
import { requireBaseFormat } from "../runtime/devices.ts";
import { deviceNote, openDevice } from "../runtime/devices-node.ts";
import { releaseOnFailure } from "../runtime/release-on-failure.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { RewardFunction } from "../tasks/reward-functions.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { stageProgress } from "../training/progress.ts";
import type { TrainingState } from "../training/training-state.ts";
import { withAdapterOptions } from "./adapter-options.ts";
import { type DataFingerprint, fingerprintOf } from "./data-fingerprint-node.ts";
import { loadTask } from "./load-task-node.ts";
import { fitIntoMemory, float32TooLarge, type RunMemory } from "./memory-fit-node.ts";
import { type OpenRuntime, type PreparedRun, type PrepareOptions, prepareRun, READING } from "./prepare-run.ts";
import { openReward, scoredBy } from "./rewards/open-reward-node.ts";
import {
  type GivenConfig,
  parseOptions,
  presetNote,
  type RunConfig,
  type RunSettings,
  withAbsolutePaths,
} from "./run-options-node.ts";

/** A run of this machine's files, ready to train. */
export interface PreparedFiles extends PreparedRun<RunSettings, RunMemory, LoadedBaseModel> {
  /** With absolute paths. */
  config: RunConfig;
  dataFingerprint: DataFingerprint;
}

export interface PrepareFilesOptions extends PrepareOptions {
  /** The run to resume: its options, its data, and its state (undefined if it was cut off before the first checkpoint). */
  saved?: { config: RunConfig; dataFingerprint: DataFingerprint; state: TrainingState | undefined } | undefined;
  /** A function of the calling program that scores answers, instead of the reward that the options name. */
  reward?: RewardFunction | undefined;
  /** Refuses kinds of tasks that the run cannot have. @throws UserError naming the kind */
  checkKind?: ((kind: TaskKind) => void) | undefined;
  onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

/**
 * Reads the files that a run's options name and prepares the run. Writes nothing. Errors name files as the user did.
 * @param given keys of `aflora train`'s config file
 * @throws UserError if an option, the data, the model or the device cannot be used
 */
export async function prepareFromFiles(
  given: Readonly<Record<string, unknown>>,
  { saved, onDownload: onProgress, reward, checkKind, ...options }: PrepareFilesOptions = {},
): Promise<PreparedFiles> {
  const { adapter: adapterName, model, revision, offline } = saved?.config.run ?? (given as Partial<RunSettings>);
  const asking = { offline: offline === true, onProgress, signal: options.signal };
  const adapter = adapterName && (await openAdapter(String(adapterName), { ...asking, model, revision }));
  const asked = saved ? settled(saved.config) : parseOptions(adapter ? withAdapterOptions(given, adapter) : given);
  const { run, source } = asked;
  const preset = saved ? undefined : presetNote(given);
  if (preset !== undefined) options.onNote?.(preset);
  // The model's name in the run and in its adapter must hold in any folder.
  const { model: wanted = BUNDLED_MODEL } = withAbsolutePaths(asked).run;
  const recorded = { fileHashes: saved?.dataFingerprint.model, whose: `the run in ${run.output}` };
  const prepared = await prepareRun(
    {
      base: run.base,
      strict: run.strict,
      settle: asked.settle,
      adapter: adapter || undefined,
      resume: saved?.state,
    },
    {
      async readTask() {
        const onRead = stageProgress(options.onProgress, READING, "MB");
        const task = await loadTask(asked, asking, saved?.dataFingerprint, async (done, total) => {
          await onRead(done / 1e6, total && total / 1e6);
          if (done === total) await stageProgress(options.onProgress, "splitting the rows", "rows")(0);
        });
        checkKind?.(findTaskKind(task.kind));
        return task;
      },
      async openModel() {
        const opened = await openModel(wanted, { ...asking, revision: run.revision, recorded });
        const made = adapter ? adapter.description.modelFiles : undefined;
        if (made && given.model === undefined)
          await refuseOtherFiles(opened.files, made, `the adapter in ${adapterName}`);
        return opened;
      },
      openRuntime: () => openRuntime(run),
      fitMemory: fitIntoMemory,
      openReward: async (options) =>
        reward ? scoredBy(reward) : openReward(options, () => runtimeFor({ threads: run.threads })),
      float32TooLarge,
    },
    options,
  );
  return releaseOnFailure(prepared, async () => ({
    ...prepared,
    notes: [...(preset === undefined ? [] : [preset]), ...prepared.notes],
    config: withAbsolutePaths({ source, run: prepared.settings, method: prepared.method }),
    dataFingerprint: { ...(await fingerprintOf(prepared.task)), model: await prepared.loaded.fileHashes?.() },
  }));
}

/** The options of a saved run, which has all of them. */
const settled = ({ source, run, method }: RunConfig): GivenConfig => ({
  source,
  run,
  settle: () => ({ method, settings: run }),
});

async function openRuntime(run: Pick<RunSettings, "base" | "device" | "threads">): Promise<OpenRuntime> {
  const runtime = runtimeFor(run);
  requireBaseFormat(runtime.device, run.base);
  if (runtime.device.isEverywhere) return { runtime };
  const opened = await openDevice(runtime);
  return { runtime, note: deviceNote(opened), release: () => opened.session.release() };
}
