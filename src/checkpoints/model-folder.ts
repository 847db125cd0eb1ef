import { z } from "zod";
import { inWords, UserError } from "../errors.ts";
import type { ByteSource } from "../files/byte-source.ts";
import { readJson } from "./json-file.ts";
import type { ModelFiles, WeightFormat } from "./model-files.ts";
import type { Network } from "./onnx/network.ts";
import { ONNX_FORMATS } from "./onnx/onnx-format.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorSource } from "./tensor-source.ts";

/** A Hugging Face model folder. */
export interface ModelFolder {
  /** config.json. The model family checks the settings that it needs. */
  config: FolderConfig;
  weights: TensorSource;
}

/** The common settings of config.json; the others are there too. */
export type FolderConfig = z.output<typeof configSchema>;

const configSchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  id2label: z.record(z.string(), z.string()).optional(),
  problem_type: z.string().nullish(),
});

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

const SAFETENSORS: WeightFormat = { file: "model.safetensors", open: openSafetensors };

/**
 * Opens a Hugging Face model folder: its config.json and its weights, in one file or in shards. Among several formats,
 * safetensors comes first and ONNX last.
 * @throws UserError if config.json or the weights are missing or damaged.
 */
export async function openModelFolder(files: ModelFiles): Promise<ModelFolder> {
  const config = await readModelConfig(files);
  const formats = formatsOf(files);
  for (const format of formats) {
    const source = await files.open(format.file);
    if (source) return { config, weights: await format.open(source, files) };
    const index = indexOf(format);
    const map = await readJson(files, index);
    if (map !== undefined) return { config, weights: await openShards(files, index, map, format) };
  }
  const expected = formats.flatMap((format) => (format.holdsNetwork ? [format.file] : [format.file, indexOf(format)]));
  throw new UserError(`${files.location} has no weights: expected one of ${expected.join(", ")}`);
}

const formatsOf = (files: ModelFiles): WeightFormat[] => [SAFETENSORS, ...(files.formats ?? []), ...ONNX_FORMATS];

/**
 * Returns the forward pass that a model's files hold, or undefined if the model family defines it.
 * @throws UserError if the file is damaged.
 */
export async function readNetwork(files: ModelFiles): Promise<Network | undefined> {
  for (const format of formatsOf(files)) {
    const source = await files.open(format.file);
    if (source) return format.holdsNetwork && (await format.open(source, files)).network;
    if (await files.open(indexOf(format))) return undefined;
  }
  return undefined;
}

/** The ONNX file that holds a model's weights; undefined if they are in another format. */
export async function onnxFileIn(files: ModelFiles): Promise<ByteSource | undefined> {
  for (const format of formatsOf(files)) {
    const source = await files.open(format.file);
    if (source) return format.holdsNetwork && source;
    if (!format.holdsNetwork && (await files.open(indexOf(format)))) return undefined;
  }
  return undefined;
}

/**
 * Reads a model's config.json, without its weights.
 * @throws UserError if it is missing, not JSON or names no model_type.
 */
export async function readModelConfig(files: ModelFiles): Promise<FolderConfig> {
  const raw = await readJson(files, "config.json");
  if (raw === undefined) {
    throw new UserError(`${files.location} has no config.json; expected a Hugging Face model folder`);
  }
  return parseConfig(raw, `${files.location}/config.json`);
}

/** Checks a config.json. @param location for error messages. @throws UserError if it names no model_type. */
export function parseConfig(raw: unknown, location: string): FolderConfig {
  const result = configSchema.safeParse(raw, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(
    `${location} is not a valid model config: ${issue!.path.join(".") || "the whole"}: ${issue!.message}`,
  );
}

const indexOf = ({ file }: WeightFormat): string => `${file}.index.json`;

async function openShards(
  files: ModelFiles,
  indexName: string,
  raw: unknown,
  format: WeightFormat,
): Promise<TensorSource> {
  const location = `${files.location}/${indexName}`;
  const index = indexSchema.safeParse(raw);
  if (!index.success) throw new UserError(`${location} is damaged: expected a "weight_map" of tensors to files`);
  const shardOf = Object.entries(index.data.weight_map);
  const shards = new Map<string, TensorSource>();
  for (const file of new Set(shardOf.map(([, name]) => name))) {
    // Anything but a plain name might lead out of the folder.
    if (!/^[^/\\:]+$/.test(file) || file === "..") {
      throw new UserError(`${location} names a shard "${file}" outside its folder; refused`);
    }
    const source = await files.open(file);
    if (!source)
      throw new UserError(`cannot read ${files.location}/${file}: it is not there, but ${indexName} names it`);
    shards.set(file, await format.open(source, files));
  }
  const tensors = new Map(
    shardOf.map(([name, file]) => {
      const info = shards.get(file)!.tensors.get(name);
      if (!info) throw new UserError(`${location} says that tensor "${name}" is in ${file}, but it is not there`);
      return [name, info];
    }),
  );
  return {
    location,
    tensors,
    async read(name) {
      const file = index.data.weight_map[name];
      if (!tensors.has(name) || file === undefined) throw new UserError(`${location} has no tensor "${name}"`);
      return shards.get(file)!.read(name);
    },
  };
}
