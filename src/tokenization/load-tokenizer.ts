import { readText } from "../checkpoints/byte-source.ts";
import { readJson } from "../checkpoints/json-file.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError } from "../errors.ts";
import { readVocabularyFiles, VOCABULARY_FILES } from "./read-vocabulary-files.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer-json.ts";

/**
 * Loads the tokenizer of a Hugging Face model folder: its tokenizer.json, or else its older vocabulary files.
 * @throws UserError where there is none, or it is damaged or of a kind that is not supported.
 */
export async function loadTokenizer(files: ModelFiles): Promise<Tokenizer> {
  const { location } = files;
  const json = await readJson(files, "tokenizer.json");
  if (json !== undefined) {
    return createTokenizer(json, await readSettings(files), location);
  }
  const built = await readVocabularyFiles(files);
  if (built) return createTokenizer(built.tokenizer, built.config, location);
  throw new UserError(
    `${location} has no tokenizer: expected tokenizer.json or one of ${VOCABULARY_FILES.join(", ")}; add the file of the model's own tokenizer`,
  );
}

/** tokenizer_config.json with what newer and older models have in files of their own. */
async function readSettings(files: ModelFiles): Promise<object> {
  const older = (await readJson(files, "special_tokens_map.json")) as object | undefined;
  const settings = (await readJson(files, "tokenizer_config.json")) as object | undefined;
  const template = await files.open("chat_template.jinja");
  return { ...older, ...settings, ...(template && { chat_template: await readText(template) }) };
}
