import { z } from "zod";
import { readsSource } from "../architectures/architecture-kinds.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { readJson } from "../checkpoints/json-file.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import { type GenerationOptions, type GenerationTokens, MOST_BEAMS } from "./generation/generation-options.ts";

export interface GenerationSettings {
  tokens: GenerationTokens;
  defaults: Partial<GenerationOptions>;
}

/** Fields with Transformers' names. Malformed ones are ignored, as in models that do not generate. */
const settings = z.looseObject({
  num_beams: z.int().positive().max(MOST_BEAMS).nullish().catch(undefined),
  length_penalty: z.number().nullish().catch(undefined),
  early_stopping: z
    .union([z.boolean(), z.literal("never")])
    .nullish()
    .catch(undefined),
  no_repeat_ngram_size: z.int().min(0).nullish().catch(undefined),
  repetition_penalty: z.number().positive().nullish().catch(undefined),
  min_length: z.int().min(0).nullish().catch(undefined),
  max_length: z.int().min(2).nullish().catch(undefined),
  min_new_tokens: z.int().min(0).nullish().catch(undefined),
  max_new_tokens: z.int().positive().nullish().catch(undefined),
  forced_bos_token_id: z.int().min(0).nullish().catch(undefined),
  forced_eos_token_id: z.int().min(0).nullish().catch(undefined),
});

type Settings = z.output<typeof settings>;

/**
 * Reads the tokens that end a model's answers from its generation_config.json, its config.json and its tokenizer; for an
 * encoder-decoder also beams, lengths and forced tokens from generation_config.json or, if it is missing, config.json.
 * @throws UserError if one of the files cannot be read.
 */
export async function readGenerationSettings({
  files,
  tokenizer,
  architecture,
}: Pick<BaseModel, "files" | "architecture"> & {
  tokenizer: Pick<Tokenizer, "specialTokens">;
}): Promise<GenerationSettings> {
  const [own, config] = await Promise.all(
    ["generation_config.json", "config.json"].map((name) => readJson(files, name)),
  );
  const ids = [own, config].flatMap((each) => (each as { eos_token_id?: unknown } | undefined)?.eos_token_id ?? []);
  const { eos } = tokenizer.specialTokens;
  const all = [...ids.filter((id) => Number.isInteger(id)), ...(eos ? [eos.id] : [])];
  const tokens = { eosTokenIds: [...new Set(all as number[])] };
  if (!readsSource({ architecture })) return { tokens, defaults: {} };
  const found = settings.safeParse(own ?? config ?? {}).data ?? {};
  return { tokens: { ...tokens, ...forcedTokens(found) }, defaults: defaultsOf(found) };
}

const forcedTokens = ({ forced_bos_token_id: bos, forced_eos_token_id: eos }: Settings): Partial<GenerationTokens> => ({
  ...(typeof bos === "number" && { forcedBosTokenId: bos }),
  ...(typeof eos === "number" && { forcedEosTokenId: eos }),
});

function defaultsOf(found: Settings): Partial<GenerationOptions> {
  // Total lengths include the token with which the decoder begins.
  const least = found.min_new_tokens ?? (found.min_length && found.min_length - 1);
  const most = found.max_new_tokens ?? (found.max_length && found.max_length - 1);
  const given = {
    numBeams: found.num_beams,
    lengthPenalty: found.length_penalty,
    earlyStopping: found.early_stopping,
    noRepeatNgramSize: found.no_repeat_ngram_size,
    repetitionPenalty: found.repetition_penalty,
    minNewTokens: least,
    maxNewTokens: most,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
}
