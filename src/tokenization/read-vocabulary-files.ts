import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readJsonFile } from "../checkpoints/json-file-node.ts";
import { UserError } from "../errors.ts";
import {
  type BuiltTokenizer,
  fromMerges,
  fromSentencePiece,
  fromWordPiece,
  type TokenizerSettings,
} from "./vocabulary-files.ts";

/** The vocabularies that are read where a folder has no `tokenizer.json`, first found first. */
export const VOCABULARY_FILES = ["spm.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt"] as const;

/**
 * Builds the tokenizer of a model folder that has no `tokenizer.json` from its older vocabulary files and settings.
 * @returns undefined where the folder has no such files.
 * @throws UserError where a file is damaged, or one of a pair is missing.
 */
export async function readVocabularyFiles(folder: string): Promise<BuiltTokenizer | undefined> {
  for (const name of VOCABULARY_FILES) {
    const path = join(folder, name);
    const bytes = await readIfThere(path);
    if (!bytes) continue;
    const settings = await readSettings(folder);
    const modelType = String((await readObject(folder, "config.json")).model_type ?? "");
    if (name.endsWith(".model")) return fromSentencePiece(bytes, path, settings, modelType);
    if (name === "vocab.txt") return fromWordPiece(bytes.toString(), settings, modelType);
    const merges = await readIfThere(join(folder, "merges.txt"));
    if (!merges) throw new UserError(`${folder} has a vocab.json but no merges.txt, which belongs to it; add that one`);
    return fromMerges((await readObject(folder, name)) as Record<string, number>, merges.toString(), settings);
  }
  return undefined;
}

/** `tokenizer_config.json`, and what older models keep beside it; the former wins. */
async function readSettings(folder: string): Promise<TokenizerSettings> {
  const added = Object.entries(await readObject(folder, "added_tokens.json"));
  return {
    added_tokens_decoder: Object.fromEntries(added.map(([content, id]) => [id, { content }])),
    ...(await readObject(folder, "special_tokens_map.json")),
    ...(await readObject(folder, "tokenizer_config.json")),
  };
}

/** A JSON object of the folder; empty where there is no such file. */
async function readObject(folder: string, name: string): Promise<Record<string, unknown>> {
  const path = join(folder, name);
  const value = (await readJsonFile(path)) ?? {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UserError(`${path} is damaged: expected a JSON object`);
  return value as Record<string, unknown>;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`);
  }
}
