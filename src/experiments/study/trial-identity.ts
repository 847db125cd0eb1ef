import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { z } from "zod";
import { notedFiles } from "../../checkpoints/file-hashes-node.ts";
import { folderFiles } from "../../checkpoints/file-source-node.ts";
import { resolveModel } from "../../checkpoints/hub-node.ts";
import { BUNDLED_MODEL } from "../../finetuning/bundled-model.ts";
import { modelDirectory } from "../../finetuning/load-base-model-node.ts";
import { findMethod } from "../../methods/methods.ts";
import { flatOptions, MAY_DIFFER, PATH_OPTIONS, type RunConfig, runOptions } from "../../runs/run-config.ts";
import type { TaskData } from "../../tasks/example.ts";

/** What a trial is, wherever its files lie: trials that agree in all of it are the same. */
export interface TrialIdentity {
  /** All options with their defaults, seed among them, without paths and without what changes no result. */
  options: Readonly<Record<string, unknown>>;
  /** Hash of the data's files, or the commit of a data set of the hub. */
  data: string;
  /** Hash of the model's files, or its commit on the hub. */
  model: string;
}

/** Options that say where something lies. What lies there is hashed. */
const PLACES = [...PATH_OPTIONS, "revision"];

/** Says what trials are; files that were hashed are remembered. */
export class Identifier {
  readonly #data = new Map<string, Promise<string>>();
  readonly #models = new Map<string, Promise<string>>();

  /**
   * @param task that the options name, read from their data
   * @param reported file on whose examples the trial is reported
   */
  async identify(config: RunConfig, task: TaskData, reported?: string): Promise<TrialIdentity> {
    const files = [...(task.origin?.files ?? []), ...(reported === undefined ? [] : [reported])];
    const hashes = await Promise.all(files.map((file) => once(this.#data, file, () => hashOf(file))));
    const { model = BUNDLED_MODEL, revision, adapter, offline } = config.run;
    const key = JSON.stringify([model, revision]);
    const base = await once(this.#models, key, () => modelIdentity(model, { revision, offline }));
    return {
      options: tellingOptions(config),
      data: task.origin?.revision ?? sha256(hashes.join("\n")),
      model: adapter === undefined ? base : sha256(`${base}\n${await adapterIdentity(adapter)}`),
    };
  }
}

/** A run's options as an identity has them. */
export function tellingOptions(config: RunConfig): Record<string, unknown> {
  const all = Object.entries(flatOptions(config)).filter(([key]) => !MAY_DIFFER.includes(key) && !PLACES.includes(key));
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * The name of a trial's folder: 12 hexadecimal digits of the hash of what it is. Options that have their defaults are left
 * out, so that an option that a later version brings changes no name.
 */
export function trialId({ options, data, model }: TrialIdentity): string {
  const { shape } = findMethod(String(options.method)).options;
  const schemas: Readonly<Record<string, z.ZodType>> = { ...shape, ...runOptions.shape };
  const isDefault = ([key, value]: [string, unknown]): boolean =>
    JSON.stringify(schemas[key]?.safeParse(undefined).data) === JSON.stringify(value);
  const others = Object.entries(options).filter((option) => !isDefault(option));
  return sha256(JSON.stringify([others, data, model])).slice(0, 12);
}

async function modelIdentity(
  name: string,
  hub: { revision?: string | undefined; offline?: boolean | undefined },
): Promise<string> {
  return contentsOf(name === BUNDLED_MODEL ? modelDirectory(name) : await resolveModel(name, hub));
}

/** A run's adapter or another's, in its folder; one of the hub is told by its name. */
const adapterIdentity = async (name: string): Promise<string> =>
  existsSync(name) ? contentsOf(existsSync(join(name, "adapter")) ? join(name, "adapter") : name) : name;

/** A hash of the files of a folder that a model is read from, or of one file. */
async function contentsOf(path: string): Promise<string> {
  const isFolder = (await stat(path)).isDirectory();
  const names = isFolder ? (await readdir(path)).filter((name) => MODEL_FILE.test(name)) : [basename(path)];
  const files = notedFiles(folderFiles(isFolder ? path : dirname(path)));
  for (const name of names) await files.open(name);
  return sha256(JSON.stringify(Object.entries(await files.hashes()).sort()));
}

const MODEL_FILE = /\.(json|safetensors|bin|gguf|txt|model)$/;

function once(known: Map<string, Promise<string>>, key: string, make: () => Promise<string>): Promise<string> {
  const found = known.get(key) ?? make();
  known.set(key, found);
  return found;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest("hex");
}
