import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { resolveModelFolder } from "../base-models/load-base-model-node.ts";
import { hashedFiles } from "../checkpoints/file-hashes-node.ts";
import { folderFiles } from "../checkpoints/file-source-node.ts";
import { findMethod } from "../methods/methods.ts";
import { hashOf, sha256 } from "../preparation/data-fingerprint-node.ts";
import { flatOptions, MAY_DIFFER, optionOfRun, PATH_OPTIONS, type RunConfig } from "../preparation/run-options-node.ts";
import type { TaskData } from "../tasks/example.ts";
import { AsyncMemo } from "./async-memo.ts";

/** Identity of a trial, wherever its files are. Trials with the same identity are the same. */
export interface TrialIdentity {
  /** All options including defaults and the seed, without paths and options that change no result. */
  options: Readonly<Record<string, unknown>>;
  /** Hash of the data's files. For a data set of the hub: its commit, hashed with the file that trials are reported on. */
  data: string;
  /** Hash of the model's files, or its commit on the hub. */
  model: string;
}

/** Options that are paths or revisions. Their contents are hashed. */
const PLACES = [...PATH_OPTIONS, "revision"];

export class Identifier {
  readonly #data = new AsyncMemo<string>();
  readonly #models = new AsyncMemo<string>();

  /**
   * Computes a trial's identity.
   * @param task read from the data that the options name
   * @param reported file with the examples that the trial is reported on
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

export function identifyingOptions(config: RunConfig): Record<string, unknown> {
  const all = Object.entries(flatOptions(config)).filter(([key]) => !MAY_DIFFER.includes(key) && !PLACES.includes(key));
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Name of a trial's folder: 12 hexadecimal digits of its identity's hash. Options with default values are left out, so an option that a
 * later version adds changes no name.
 */
export function trialId({ options, data, model }: TrialIdentity): string {
  const { shape } = findMethod(String(options.method)).options;
  const isDefault = ([key, value]: [string, unknown]): boolean =>
    JSON.stringify((optionOfRun(key) ?? shape[key])?.safeParse(undefined).data) === JSON.stringify(value);
  const others = Object.entries(options).filter((option) => !isDefault(option));
  return sha256(JSON.stringify([others, data, model])).slice(0, 12);
}

const adapterIdentity = async (name: string): Promise<string> =>
  existsSync(name) ? contentsOf(existsSync(join(name, "adapter")) ? join(name, "adapter") : name) : name;

async function contentsOf(path: string): Promise<string> {
  const isFolder = (await stat(path)).isDirectory();
  const names = isFolder ? (await readdir(path)).filter((name) => MODEL_FILE.test(name)) : [basename(path)];
  const files = hashedFiles(folderFiles(isFolder ? path : dirname(path)));
  for (const name of names) await files.open(name);
  return sha256(JSON.stringify(Object.entries(await files.hashes()).sort()));
}

const MODEL_FILE = /\.(json|safetensors|bin|gguf|txt|model)$/;
