import { readJson } from "../checkpoints/json-file.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError } from "../errors.ts";
import { readAll, readText } from "../files/byte-source.ts";
import { fromTokenizerModel } from "./tokenizer-model.ts";
import {
  type BuiltTokenizer,
  fromMerges,
  fromSentencePiece,
  fromWordPiece,
  type TokenizerSettings,
} from "./vocabulary-files.ts";

/** Vocabulary files for folders without `tokenizer.json`. The first that exists is used. */
export const VOCABULARY_FILES = [
  "spm.model",
  "sentencepiece.bpe.model",
  "tokenizer.model",
  "vocab.json",
  "vocab.txt",
] as const;

/**
 * Builds the tokenizer of a model folder without `tokenizer.json` from its older vocabulary files and settings.
 * @returns undefined if the folder has no such files.
 * @throws UserError if a file is damaged, or one of a pair is missing.
 */
export async function readVocabularyFiles(files: ModelFiles): Promise<BuiltTokenizer | undefined> {
  for (const name of VOCABULARY_FILES) {
    const source = await files.open(name);
    if (!source) continue;
    const settings = await readSettings(files);
    const modelType = String((await readObject(files, "config.json")).model_type ?? "");
    if (name === "tokenizer.model") return fromTokenizerModel(await readAll(source), source.location, settings);
    if (name.endsWith(".model")) return fromSentencePiece(await readAll(source), source.location, settings, modelType);
    if (name === "vocab.txt") return fromWordPiece(await readText(source), settings, modelType);
    const merges = await files.open("merges.txt");
    if (!merges) {
      throw new UserError(`${files.location} has a vocab.json but no merges.txt, which belongs to it; add that one`);
    }
    const vocabulary = (await readObject(files, name)) as Record<string, number>;
    return fromMerges(vocabulary, await readText(merges), settings);
  }
  return undefined;
}

/**
 * Reads `tokenizer_config.json`, and what newer and older models have in other files; the former takes precedence over
 * the older.
 */
export async function readSettings(files: ModelFiles): Promise<TokenizerSettings> {
  const added = Object.entries(await readObject(files, "added_tokens.json"));
  const template = await files.open("chat_template.jinja");
  return {
    added_tokens_decoder: Object.fromEntries(added.map(([content, id]) => [id, { content }])),
    ...(await readObject(files, "special_tokens_map.json")),
    ...(await readObject(files, "tokenizer_config.json")),
    ...(template && { chat_template: await readText(template) }),
  };
}

/** Reads a JSON object of the folder; empty if there is no such file. */
async function readObject(files: ModelFiles, name: string): Promise<Record<string, unknown>> {
  const value = (await readJson(files, name)) ?? {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UserError(`${files.location}/${name} is damaged: expected a JSON object`);
  return value as Record<string, unknown>;
}
