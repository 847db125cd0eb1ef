import { readFile } from "node:fs/promises";
import { join } from "node:path";
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
    const { model_type: modelType = "" } = (await readJson<{ model_type?: string }>(join(folder, "config.json"))) ?? {};
    if (name.endsWith(".model")) return fromSentencePiece(bytes, path, settings, modelType);
    if (name === "vocab.txt") return fromWordPiece(bytes.toString(), settings, modelType);
    const merges = await readIfThere(join(folder, "merges.txt"));
    if (!merges)
      throw new UserError(`${folder} has a vocab.json but no merges.txt, which belongs to it; add that file`);
    return fromMerges((await readJson<Record<string, number>>(path))!, merges.toString(), settings);
  }
  return undefined;
}

/** `tokenizer_config.json`, and what older models keep beside it; the former wins. */
async function readSettings(folder: string): Promise<TokenizerSettings> {
  const [settings, specials, added] = await Promise.all(
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"].map((name) =>
      readJson<Record<string, unknown>>(join(folder, name)),
    ),
  );
  const decoder = Object.entries(added ?? {}).map(([content, id]) => [id, { content, special: false }]);
  return { added_tokens_decoder: Object.fromEntries(decoder), ...specials, ...settings };
}

async function readJson<T>(path: string): Promise<T | undefined> {
  const bytes = await readIfThere(path);
  try {
    return bytes && (JSON.parse(bytes.toString()) as T);
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`);
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`);
  }
}
