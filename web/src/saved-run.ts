import { openSafetensors, safetensorsBytes } from "../../src/checkpoints/safetensors.ts";
import { readTensors } from "../../src/checkpoints/tensor-source.ts";
import { UserError } from "../../src/errors.ts";
import { blobSource } from "../../src/files/byte-source.ts";
import type { DeviceName } from "../../src/runtime/device.ts";
import { restoreState, saveState } from "../../src/training/saved-state.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../../src/training/training-records.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import type { GivenExamples } from "./given-examples.ts";
import type { ModelChoice } from "./model-store.ts";

export interface RunSettings {
  data: string;
  model: Exclude<ModelChoice, { from: "disk" }>;
  columns: { text?: string; textPair?: string; label?: string };
  kind?: string;
  options: Record<string, unknown>;
  /** Device of the run, chosen when it begins. */
  device?: DeviceName;
}

export interface RunRecords {
  steps: StepRecord[];
  evaluations: EvaluationRecord[];
  freezing: FreezingRecord[];
}

export interface SavedRun {
  settings: RunSettings;
  given: GivenExamples;
  state: TrainingState;
  records: RunRecords;
}

const FOLDER = "run";
const SETTINGS = "settings.json";
/** Name of the examples' file, or of the concatenated pictures. */
const DATA = "data";
/** Name of the file with the pictures' paths and sizes in bytes, in that order. */
const PICTURES = "pictures.json";
/** Name of the file with the training state. It is replaced atomically. */
const STATE = "state.safetensors";

/** Whether this browser lets pages keep files, which needs a secure connection. */
export const canSave = (): boolean => typeof navigator.storage?.getDirectory === "function";

const folder = async (): Promise<FileSystemDirectoryHandle> =>
  (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });

/** Begins to save a run. Replaces the one before. */
export async function beginSaving(settings: RunSettings, { file, pictures = {} }: GivenExamples): Promise<void> {
  await forgetRun();
  const at = await folder();
  await write(at, DATA, file ?? new Blob(Object.values(pictures)));
  const sizes = Object.entries(pictures).map(([path, { size }]) => [path, size]);
  if (!file) await write(at, PICTURES, JSON.stringify(sizes));
  await write(at, SETTINGS, JSON.stringify(settings));
}

export async function saveProgress(state: TrainingState, records: RunRecords): Promise<void> {
  const { counters, tensors } = saveState(state);
  const metadata = { aflora: JSON.stringify(counters), records: JSON.stringify(records) };
  await write(await folder(), STATE, safetensorsBytes(tensors, metadata));
}

/** Finds the unfinished run; undefined if there is none, or it cannot be read. */
export async function findRun(): Promise<SavedRun | undefined> {
  if (!canSave()) return undefined;
  try {
    const at = await folder();
    const read = async (name: string): Promise<File> => (await at.getFileHandle(name)).getFile();
    const source = await openSafetensors(blobSource(STATE, await read(STATE)));
    const { aflora, records } = source.metadata ?? {};
    const state = restoreState(JSON.parse(aflora!), await readTensors(source));
    if (!state) return undefined;
    const settings = JSON.parse(await (await read(SETTINGS)).text()) as RunSettings;
    const file = await read(DATA);
    const sizes = await read(PICTURES).then(
      async (found) => JSON.parse(await found.text()) as [path: string, size: number][],
      () => undefined,
    );
    return {
      settings,
      given: { name: settings.data, ...(sizes ? { pictures: parted(file, sizes) } : { file }) },
      state,
      records: JSON.parse(records!) as RunRecords,
    };
  } catch {
    return undefined;
  }
}

function parted(file: Blob, sizes: readonly [path: string, size: number][]): Record<string, Blob> {
  let start = 0;
  return Object.fromEntries(
    sizes.map(([path, size]) => {
      start += size;
      return [path, file.slice(start - size, start)];
    }),
  );
}

/** Trains unless another tab does: there is only one place for a run. */
export async function whileAlone<Value>(train: () => Promise<Value>): Promise<Value> {
  // Undefined in browsers that keep nothing.
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return train();
  return locks.request("aflora-run", { ifAvailable: true }, (lock) => {
    if (!lock) throw new UserError("another tab of this page is training; wait until it ends, or stop it there");
    return train();
  });
}

export async function forgetRun(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}

/** A writable file replaces the old one when it is closed, not before. */
async function write(
  at: FileSystemDirectoryHandle,
  name: string,
  content: string | Blob | Uint8Array<ArrayBuffer>,
): Promise<void> {
  const file = await (await at.getFileHandle(name, { create: true })).createWritable();
  await file.write(content);
  await file.close();
}
