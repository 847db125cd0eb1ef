import { readJson } from "../checkpoints/json-file.ts";
import type { GenerationTokens } from "../generation/generation-options.ts";
import type { BaseModel } from "./base-model.ts";

/**
 * Which tokens end a model's answers: those that its generation_config.json, its config.json and its tokenizer name as the end
 * of a text.
 * @throws UserError where one of the files cannot be read.
 */
export async function readGenerationTokens({ files, tokenizer }: BaseModel): Promise<GenerationTokens> {
  const named = await Promise.all(["generation_config.json", "config.json"].map((name) => readJson(files, name)));
  const ids = named.flatMap((config) => (config as { eos_token_id?: unknown } | undefined)?.eos_token_id ?? []);
  const { eos } = tokenizer.specialTokens;
  const all = [...ids.filter((id) => Number.isInteger(id)), ...(eos ? [eos.id] : [])];
  return { eosTokenIds: [...new Set(all as number[])] };
}
