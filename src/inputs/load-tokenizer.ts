import { readJson } from "../checkpoints/json-file.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError } from "../errors.ts";
import { readSettings, readVocabularyFiles, VOCABULARY_FILES } from "./read-vocabulary-files.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { createTokenizer } from "./tokenizer-json.ts";

/**
 * Loads the tokenizer of a Hugging Face model folder from tokenizer.json, or else from its older vocabulary files.
 * @throws UserError if there is none, or it is damaged or of a kind that is not supported.
 */
export async function loadTokenizer(files: ModelFiles): Promise<Tokenizer> {
  const { location } = files;
  const decoderStart = await decoderStartOf(files);
  const json = await readJson(files, "tokenizer.json");
  if (json !== undefined) {
    return createTokenizer(json, { ...(await readSettings(files)), ...decoderStart }, location);
  }
  const built = await readVocabularyFiles(files);
  if (built) return createTokenizer(built.tokenizer, { ...built.config, ...decoderStart }, location);
  throw new UserError(
    `${location} has no tokenizer: expected tokenizer.json or one of ${VOCABULARY_FILES.join(", ")}; add the file of the model's own tokenizer`,
  );
}

/** Returns the first token of an encoder-decoder's decoder; generation_config.json takes precedence. */
async function decoderStartOf(files: ModelFiles): Promise<{ decoder_start_token_id?: unknown }> {
  const config = (await readJson(files, "config.json")) as Record<string, unknown> | undefined;
  if (!config?.is_encoder_decoder) return {};
  const generation = (await readJson(files, "generation_config.json")) as Record<string, unknown> | undefined;
  return { decoder_start_token_id: generation?.decoder_start_token_id ?? config.decoder_start_token_id };
}
