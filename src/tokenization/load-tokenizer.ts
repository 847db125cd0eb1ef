import { join } from "node:path";
import { readJsonFile } from "../checkpoints/json-file-node.ts";
import { UserError } from "../errors.ts";
import { readVocabularyFiles, VOCABULARY_FILES } from "./read-vocabulary-files.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer-json.ts";

/**
 * Loads the tokenizer of a Hugging Face model folder: its tokenizer.json, or else its older vocabulary files.
 * @throws UserError where there is none, or it is damaged or of a kind that is not supported.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const json = await readJsonFile(join(folder, "tokenizer.json"));
  if (json !== undefined) {
    return createTokenizer(json, (await readJsonFile(join(folder, "tokenizer_config.json"))) ?? {}, folder);
  }
  const built = await readVocabularyFiles(folder);
  if (built) return createTokenizer(built.tokenizer, built.config, folder);
  throw new UserError(
    `${folder} has no tokenizer: expected tokenizer.json or one of ${VOCABULARY_FILES.join(", ")}; add the file of the model's own tokenizer`,
  );
}
