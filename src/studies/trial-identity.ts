import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { hashOf, sha256 } from "../fine-tuning/data-fingerprint-node.ts";
import { flatOptions, MAY_DIFFER, optionOfRun, PATH_OPTIONS, type RunConfig } from "../fine-tuning/run-options-node.ts";
import { findMethod } from "../methods/methods.ts";
import { BUNDLED_MODEL } from "../model/bundled-model.ts";
import { resolveModelFolder } from "../model/load-base-model-node.ts";
import { hashedFiles } from "../model-files/file-hashes-node.ts";
import { folderFiles } from "../model-files/file-source-node.ts";
import type { TaskData } from "../tasks/example.ts";
import { AsyncMemo } from "./async-memo.ts";

/** What a trial is, wherever its files lie: trials that agree in all of it are the same. */
export interface TrialIdentity {
  /** All options with their defaults, seed among them, without paths and without what changes no result. */
  options: Readonly<Record<string, unknown>>;
  /** Hash of the data's files; of a data set of the hub its commit, hashed with the file that trials are reported on. */
  data: string;
  /** Hash of the model's files, or its commit on the hub. */
  model: string;
}

/** Options that say where something lies. What lies there is hashed. */
const PLACES = [...PATH_OPTIONS, "revision"];

/** Says what trials are; files that were hashed are remembered. */
export class Identifier {
  readonly #data = new AsyncMemo<string>();
  readonly #models = new AsyncMemo<string>();

  /**
   * @param task that the options name, read from their data
   * @param reported file on whose examples the trial is reported
   */
  async identify(config: RunConfig, task: TaskData, reported?: string): Promise<TrialIdentity> {
    const files = [...(task.origin?.files ?? []), ...(reported === undefined ? [] : [reported])];
    const hashes = await Promise.all(files.map((file) => this.#data.get(file, () => hashOf(file))));
    const contents = sha256(hashes.join("\n"));
    const commit = task.origin?.revision;
    const { model = BUNDLED_MODEL, revision, adapter, offline } = config.run;
    const key = JSON.stringify([model, revision]);
    const base = await this.#models.get(key, async () =>
      contentsOf(await resolveModelFolder(model, { revision, offline })),
    );
    return {
      options: identifyingOptions(config),
      data: commit === undefined ? contents : reported === undefined ? commit : sha256(`${commit}\n${contents}`),
      model: adapter === undefined ? base : sha256(`${base}\n${await adapterIdentity(adapter)}`),
    };
  }
}

/** A run's options as an identity has them. */
export function identifyingOptions(config: RunConfig): Record<string, unknown> {
  const all = Object.entries(flatOptions(config)).filter(([key]) => !MAY_DIFFER.includes(key) && !PLACES.includes(key));
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The name of a trial's folder: 12 hexadecimal digits of the hash of what it is. Options that have their defaults are left
 * out, so that an option that a later version brings changes no name.
 */
export function trialId({ options, data, model }: TrialIdentity): string {
  const { shape } = findMethod(String(options.method)).options;
  const isDefault = ([key, value]: [string, unknown]): boolean =>
    JSON.stringify((optionOfRun(key) ?? shape[key])?.safeParse(undefined).data) === JSON.stringify(value);
  const others = Object.entries(options).filter((option) => !isDefault(option));
  return sha256(JSON.stringify([others, data, model])).slice(0, 12);
}

/** A run's adapter or another's, in its folder; one of the hub is told by its name. */
const adapterIdentity = async (name: string): Promise<string> =>
  existsSync(name) ? contentsOf(existsSync(join(name, "adapter")) ? join(name, "adapter") : name) : name;

/** A hash of the files of a folder that a model is read from, or of one file. */
async function contentsOf(path: string): Promise<string> {
  const isFolder = (await stat(path)).isDirectory();
  const names = isFolder ? (await readdir(path)).filter((name) => MODEL_FILE.test(name)) : [basename(path)];
  const files = hashedFiles(folderFiles(isFolder ? path : dirname(path)));
  for (const name of names) await files.open(name);
  return sha256(JSON.stringify(Object.entries(await files.hashes()).sort()));
}

const MODEL_FILE = /\.(json|safetensors|bin|gguf|txt|model)$/;
