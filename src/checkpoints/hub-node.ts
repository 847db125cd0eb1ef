import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { didYouMean, UserError } from "../errors.ts";
import {
  COMMIT,
  type HubOptions,
  modelsNamed,
  openRepository,
  type Repository,
  splitRevision,
} from "./hub-repository-node.ts";
import { SENTENCE_FILES } from "./sentence-modules.ts";

/** Name of a repository on the hub: `owner/name`, optionally with a revision. */
export const HUB_NAME = /^\w[\w.-]*\/\w[\w.-]*(@.+)?$/;

/** Vocabulary files, used if there is no `tokenizer.json`. */
const VOCABULARIES = [
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "spm.model",
  "sentencepiece.bpe.model",
  "tokenizer.model",
  "added_tokens.json",
];
const SETTINGS = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"];
/** Preprocessing of pictures. A picture model has no tokenizer, and its weights must be an ONNX file. */
const PICTURES = "preprocessor_config.json";
/** Weights files. The first that exists is used. */
const WEIGHTS = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "onnx/model.onnx",
  "onnx/model_quantized.onnx",
];

/**
 * Returns a model's folder: a local folder or GGUF file of that name, or else the snapshot of the hub's
 * `owner/name[@revision]` in the Hugging Face cache. Only configuration, tokenizer and weights are downloaded, and only
 * those that are missing. A snapshot's folder is named by its commit; for a cached commit, the hub is not contacted.
 * @throws UserError if there is no such model, it may not be read, or something of it is missing or arrives damaged.
 */
export async function resolveModel(nameOrFolder: string, options: HubOptions = {}): Promise<string> {
  const exists = (await stat(nameOrFolder).catch(() => undefined)) !== undefined;
  // A revision refers to the hub.
  if (exists && !(options.revision !== undefined && HUB_NAME.test(nameOrFolder))) return nameOrFolder;
  const revision = options.revision ?? splitRevision(nameOrFolder)[1];
  if (revision !== undefined && COMMIT.test(revision) && !options.offline) {
    const cached = await resolveModel(nameOrFolder, { ...options, revision, offline: true }).catch(() => undefined);
    if (cached !== undefined) return cached;
  }
  if (/\.(gguf|onnx)$/.test(nameOrFolder)) throw new UserError(`there is no file ${nameOrFolder}; check the path`);
  if (!HUB_NAME.test(nameOrFolder)) {
    const meant = /^\w[\w.-]*$/.test(nameOrFolder) ? await modelsNamed(nameOrFolder, options) : [];
    const hint = meant.length > 0 ? `; did you mean ${meant.join(" or ")} on the hub?` : "";
    throw new UserError(
      `no such model folder: ${nameOrFolder}${hint || "; give a folder, or owner/name of a model on the hub"}`,
    );
  }
  const repository = await openRepository("model", nameOrFolder, options);
  const { name, files } = repository;
  if (!files.has("config.json")) throw new UserError(`${name} is not a Transformers model: it has no config.json`);
  const vocabularies = files.has("tokenizer.json")
    ? ["tokenizer.json"]
    : VOCABULARIES.filter((file) => files.has(file));
  const isPictureModel = vocabularies.length === 0 && files.has(PICTURES);
  const supported = isPictureModel ? WEIGHTS.filter((file) => file.endsWith(".onnx")) : WEIGHTS;
  const weights = supported.find((file) => files.has(file));
  if (!weights) throw new UserError(`${name} has no weights; expected one of ${supported.join(", ")}`);
  if (vocabularies.length === 0 && !isPictureModel)
    throw new UserError(`${name} has no tokenizer; expected tokenizer.json or ${VOCABULARIES[0]}`);
  const settings = [...SETTINGS, PICTURES, ...Object.values(SENTENCE_FILES)].filter((file) => files.has(file));
  // External data of an ONNX file.
  const beside = [...files].filter((file) => file.startsWith(`${weights}_data`));
  const folder = await repository.fetch(["config.json", ...settings, ...vocabularies, weights, ...beside]);
  if (weights.endsWith(".index.json")) await repository.fetch(await shardsOf(join(folder, weights), repository));
  return folder;
}

/** Returns the files that a sharded checkpoint's index names. */
async function shardsOf(index: string, { name, files }: Repository): Promise<string[]> {
  let map: unknown;
  try {
    map = JSON.parse(await readFile(index, "utf8")).weight_map;
  } catch {
    map = undefined;
  }
  if (typeof map !== "object" || map === null)
    throw new UserError(`${index} is not an index of weights: it has no weight_map`);
  const shards = [...new Set(Object.values(map).map(String))];
  const missing = shards.filter((shard) => !files.has(shard));
  if (missing.length) throw new UserError(`${name} lacks ${missing.join(", ")}, which its index of weights names`);
  return shards;
}

/** Parquet files of one configuration of a data set, by split. */
export interface DatasetFiles {
  /** `owner/name`, with the configuration if there are several. */
  name: string;
  /** Commit of these files. */
  commit: string;
  /** Split (`train`, `validation`, …) → files in order. */
  splits: Map<string, string[]>;
}

/**
 * Downloads the Parquet files of a data set on the hub into the Hugging Face cache, as far as they are missing. If the
 * data set has another format, the hub's own Parquet conversion is used.
 * @param configuration part of the data set, such as `cola` of `nyu-mll/glue`; required if there are several.
 * @param wanted returns whether to download a split.
 * @throws UserError as `resolveModel`, and if the configuration does not exist.
 */
export async function resolveDataset(
  dataset: string,
  configuration: string | undefined,
  wanted: (split: string) => boolean,
  options: HubOptions = {},
): Promise<DatasetFiles> {
  if (!HUB_NAME.test(dataset))
    throw new UserError(`"${dataset}" is not the name of a data set; give owner/name of one on the hub`);
  let repository = await openRepository("dataset", dataset, options);
  let found = parquetFiles(repository.files);
  if (found.size === 0 && !dataset.includes("@") && options.revision === undefined) {
    repository = await openRepository("dataset", dataset, { ...options, revision: "refs/convert/parquet" });
    found = parquetFiles(repository.files);
  }
  const names = [...found.keys()];
  const only = names.length === 1 ? names[0] : names.includes("default") ? "default" : undefined;
  const name = configuration ?? only;
  if (found.size === 0)
    throw new UserError(`${repository.name} has no Parquet files, the only format that aflora reads from the hub`);
  if (name === undefined)
    throw new UserError(`${repository.name} has several configurations; choose one of ${names.join(", ")}`);
  const splits = found.get(name);
  if (!splits) {
    throw new UserError(
      `${repository.name} has no configuration "${name}"; it has ${names.join(", ")}${didYouMean(name, names)}`,
    );
  }
  const chosen = [...splits].filter(([split]) => wanted(split));
  const folder = await repository.fetch(chosen.flatMap(([, paths]) => paths));
  return {
    name: names.length === 1 ? repository.name : `${repository.name} (${name})`,
    commit: repository.commit,
    splits: new Map(chosen.map(([split, paths]) => [split, paths.map((path) => join(folder, path))])),
  };
}

/**
 * Groups files by configuration and split, by the hub's naming conventions: `cola/train-00000-of-00001.parquet`,
 * `data/train-….parquet`, `cola/train/0000.parquet`, `train.parquet`.
 */
function parquetFiles(files: ReadonlySet<string>): Map<string, Map<string, string[]>> {
  const found = new Map<string, Map<string, string[]>>();
  for (const path of [...files].filter((file) => file.endsWith(".parquet")).sort()) {
    const folders = path.split("/");
    const name = folders.pop()!.slice(0, -".parquet".length);
    const split = /^\d+$/.test(name) ? folders.pop() : name.replace(/-\d{5}-of-\d{5}.*$/, "");
    if (!split) continue;
    const configuration = folders.filter((folder) => folder !== "data").join("/") || "default";
    const splits = found.get(configuration) ?? new Map<string, string[]>();
    found.set(configuration, splits.set(split, [...(splits.get(split) ?? []), path]));
  }
  return found;
}
