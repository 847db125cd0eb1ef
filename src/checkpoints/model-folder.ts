import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJsonFile } from "./json-file-node.ts";
import { openPickle } from "./pickle-node.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorSource } from "./tensor-source.ts";

/** A Hugging Face model folder. */
export interface ModelFolder {
  directory: string;
  /** config.json; what a family needs of it, the family checks. */
  config: FolderConfig;
  weights: TensorSource;
}

/** config.json as every family has it; the other settings are there too. */
export type FolderConfig = z.output<typeof configSchema>;

const configSchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  id2label: z.record(z.string(), z.string()).optional(),
  problem_type: z.string().nullish(),
});

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

type Opener = (path: string) => Promise<TensorSource>;

/** Files that hold a model's weights: the first that is there is used. */
const WEIGHT_FILES: readonly (readonly [name: string, open: Opener])[] = [
  ["model.safetensors", openSafetensors],
  ["model.safetensors.index.json", (path) => openShards(path, openSafetensors)],
  ["pytorch_model.bin", openPickle],
  ["pytorch_model.bin.index.json", (path) => openShards(path, openPickle)],
];

/**
 * Opens a Hugging Face model folder: its config.json and its weights, in one file or in shards.
 * @throws UserError where the folder, its config.json or its weights are missing or damaged.
 */
export async function openModelFolder(directory: string): Promise<ModelFolder> {
  const config = await readFolderConfig(directory);
  for (const [name, open] of WEIGHT_FILES) {
    const path = join(directory, name);
    if (existsSync(path)) return { directory, config, weights: await open(path) };
  }
  throw new UserError(`${directory} has no weights: expected one of ${WEIGHT_FILES.map(([name]) => name).join(", ")}`);
}

/**
 * Reads a model's config.json, from its folder or by the file's own path; weights are not looked at.
 * @throws UserError where it is missing, not JSON or names no model_type.
 */
export async function readFolderConfig(path: string): Promise<FolderConfig> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no model folder ${path}; check the path`);
  const file = found.isDirectory() ? join(path, "config.json") : path;
  const raw = await readJsonFile(file);
  if (raw === undefined) {
    throw new UserError(`${path} has no config.json; expected a Hugging Face model folder`);
  }
  const result = configSchema.safeParse(raw);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${file} is no model's config: ${issue!.path.join(".") || "the whole"}: ${issue!.message}`);
}

/** Tensors spread over several files of a folder, by the folder's index. */
async function openShards(indexPath: string, open: Opener): Promise<TensorSource> {
  const index = indexSchema.safeParse(await readJsonFile(indexPath));
  if (!index.success) throw new UserError(`${indexPath} is damaged: expected a "weight_map" of tensors to files`);
  const shardOf = Object.entries(index.data.weight_map);
  const shards = new Map<string, TensorSource>();
  for (const file of new Set(shardOf.map(([, name]) => name))) {
    // A plain name stays in the folder; anything else may climb out of it.
    if (!/^[^/\\:]+$/.test(file) || file === "..") {
      throw new UserError(`${indexPath} names a shard "${file}" outside its folder; refused`);
    }
    shards.set(file, await open(join(indexPath, "..", file)));
  }
  const tensors = new Map(
    shardOf.map(([name, file]) => {
      const info = shards.get(file)!.tensors.get(name);
      if (!info) throw new UserError(`${indexPath} says that tensor "${name}" is in ${file}, but it is not there`);
      return [name, info];
    }),
  );
  return {
    location: indexPath,
    tensors,
    read(name) {
      const file = index.data.weight_map[name];
      if (!tensors.has(name) || file === undefined) throw new UserError(`${indexPath} has no tensor "${name}"`);
      return shards.get(file)!.read(name);
    },
  };
}
