import { z } from "zod";

const MOST_TOKENS = 2 ** 20;
export const MOST_BEAMS = 256;

const penalty = z.number().min(-2).max(2).default(0);

/** Options of generation, with the names and defaults of Hugging Face's `GenerationConfig`; greedy by default. */
export const generationOptions = z.object({
  maxNewTokens: z.int().positive().max(MOST_TOKENS).default(256).describe("limit on tokens per answer"),
  minNewTokens: z.int().min(0).default(0).describe("minimum of tokens per answer, without the end token"),
  temperature: z
    .number()
    .min(0)
    .default(0)
    .describe("0 always takes the likeliest token; higher values sample more freely"),
  topK: z.int().min(0).default(0).describe("sample from the k likeliest tokens; 0 samples from all"),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("sample from the likeliest tokens that together have this probability"),
  repetitionPenalty: z
    .number()
    .positive()
    .default(1)
    .describe("values above 1 make tokens of the prompt and the answer less likely to appear again"),
  presencePenalty: penalty.describe(
    "subtracted from the score of every token that is in the answer, as in OpenAI's API",
  ),
  frequencyPenalty: penalty.describe("subtracted from a token's score for each time that it is in the answer"),
  noRepeatNgramSize: z.int().min(0).default(0).describe("never repeat a sequence of n tokens; 0 turns this off"),
  numBeams: z.int().positive().max(MOST_BEAMS).default(1).describe("number of beams of a beam search; 1 turns it off"),
  lengthPenalty: z.number().default(1).describe("beam search: above 0 favours long answers, below 0 short ones"),
  earlyStopping: z
    .union([z.boolean(), z.literal("never")])
    .default(false)
    .describe("beam search: stop as soon as there are as many complete answers as beams"),
  seed: z.int().min(0).default(0).describe("seed of the sampling"),
  stop: z
    .preprocess((value) => (typeof value === "string" ? [value] : value), z.array(z.string().min(1)).max(16))
    .default([])
    .describe("text at which an answer ends; it is not part of the answer"),
});

/** Parsed options with all defaults. */
export type GenerationOptions = z.output<typeof generationOptions>;

/** Special tokens of generation, from `generation_config.json`, `config.json` or the tokenizer. */
export interface GenerationTokens {
  eosTokenIds: readonly number[];
  /** Token with which an answer begins, for encoder-decoders. */
  forcedBosTokenId?: number;
  /** Last token of an answer that reaches its length limit. */
  forcedEosTokenId?: number;
}
