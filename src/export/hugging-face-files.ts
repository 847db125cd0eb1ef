import { readsSource } from "../architectures/architecture-kinds.ts";
import type { AdapterDescription } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { readJson } from "../checkpoints/json-file.ts";
import { readModelConfig } from "../checkpoints/model-folder.ts";
import { readAll, readText } from "../files/byte-source.ts";
import { readGenerationSettings } from "../inference/generation-settings.ts";
import { readVocabularyFiles } from "../inputs/read-vocabulary-files.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { className, labelNames } from "./hugging-face.ts";
import { type OutputFolder, writeJson } from "./output-folder.ts";

export async function writeConfig(
  folder: OutputFolder,
  base: BaseModel,
  { task }: AdapterDescription,
  more: Record<string, unknown> = {},
): Promise<void> {
  const { _name_or_path, torch_dtype, num_labels, ...config } = await readModelConfig(base.files);
  const names = labelNames(task);
  const written = {
    ...config,
    architectures: [className(base, task.kind)],
    ...(names.length > 0 && {
      id2label: Object.fromEntries(names.map((name, i) => [i, name])),
      label2id: Object.fromEntries(names.map((name, i) => [name, i])),
    }),
    problem_type: findTaskKind(task.kind).huggingFace.problemType,
    dtype: "float32",
    ...(readsSource(base) && prefixSettings(task)),
    ...more,
  };
  const original = await readText((await base.files.open("config.json"))!);
  await folder.write("config.json", `${withDecimals(JSON.stringify(written, null, 2), original)}\n`);
}

/** Settings of a pipeline: the prefix that the model was trained with, and no other. */
function prefixSettings({ kind, options }: AdapterDescription["task"]): Record<string, unknown> {
  const { pipeline } = findTaskKind(kind).huggingFace;
  const prefix = options?.prefix;
  return {
    is_encoder_decoder: true,
    prefix: undefined,
    task_specific_params: prefix ? { [pipeline]: { prefix }, "text2text-generation": { prefix } } : undefined,
  };
}

const GENERATION_KEYS = [
  ...["num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "repetition_penalty", "min_length"],
  ...["max_length", "forced_bos_token_id", "forced_eos_token_id", "bos_token_id", "pad_token_id"],
];

export async function writeGenerationConfig(folder: OutputFolder, base: BaseModel): Promise<void> {
  const { tokens } = await readGenerationSettings(base);
  const { decoderStart } = base.tokenizer.specialTokens;
  let settings: Record<string, unknown> = { do_sample: false };
  if (decoderStart) {
    const own = (await readJson(base.files, "generation_config.json")) as Record<string, unknown> | undefined;
    const config: Record<string, unknown> = await readModelConfig(base.files);
    const older = Object.fromEntries(GENERATION_KEYS.flatMap((key) => (key in config ? [[key, config[key]]] : [])));
    settings = { ...(own ?? older), decoder_start_token_id: decoderStart.id };
  }
  await writeJson(folder, "generation_config.json", { ...settings, eos_token_id: tokens.eosTokenIds });
}

/** Keeps the form of numbers: Python distinguishes 2.0 from 2, and Transformers refuses one for the other. */
function withDecimals(json: string, original: string): string {
  const literals = new Map(
    [...original.matchAll(/("[^"]+")\s*:\s*(-?\d+\.0+)(?=\s*[,}])/g)].map(([, key, literal]) => [key!, literal!]),
  );
  return json.replace(/("[^"]+"): (-?\d+)(?=[,\n])/g, (all, key: string, number: string) => {
    const literal = literals.get(key);
    return literal !== undefined && Number(literal) === Number(number) ? `${key}: ${literal}` : all;
  });
}

const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "spm.model",
  "sentencepiece.bpe.model",
  "spiece.model",
  "tokenizer.model",
];

export async function copyTokenizer(folder: OutputFolder, base: BaseModel): Promise<void> {
  for (const name of TOKENIZER_FILES) await copyFile(folder, base, name);
}

export async function copyFile(folder: OutputFolder, { files }: Pick<BaseModel, "files">, name: string): Promise<void> {
  const file = await files.open(name);
  if (file) await folder.write(name, await readAll(file));
}

/** Writes the base model's tokenizer as tokenizer.json, converted from older files if necessary. Texts are cut as in training. */
export async function writeTokenizerJson(folder: OutputFolder, base: BaseModel, maxLength: number): Promise<void> {
  const json = await readJson(base.files, "tokenizer.json");
  const settings = (await readJson(base.files, "tokenizer_config.json")) as object | undefined;
  const template = await base.files.open("chat_template.jinja");
  const built = json === undefined ? await readVocabularyFiles(base.files) : undefined;
  await writeJson(folder, "tokenizer.json", json ?? built!.tokenizer);
  await writeJson(folder, "tokenizer_config.json", {
    // Transformers.js supports token types for pairs only in BERT's class.
    tokenizer_class: base.config.usesTokenTypes ? "BertTokenizer" : "PreTrainedTokenizerFast",
    ...built?.config,
    ...settings,
    // Transformers.js reads the chat template only from here.
    ...(template && { chat_template: await readText(template) }),
    model_max_length: maxLength,
  });
}
