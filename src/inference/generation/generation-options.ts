import { z } from "zod";

const count = z.int().positive();

/** How a model writes, in the names and with the defaults of Hugging Face's `GenerationConfig`, greedy where it is silent. */
export const generationOptions = z.object({
  maxNewTokens: count.default(256).describe("most tokens of one answer"),
  minNewTokens: z.int().min(0).default(0).describe("tokens that an answer has at least, the end left out"),
  temperature: z
    .number()
    .min(0)
    .default(0)
    .describe("0: the likeliest token each time; above: tokens are drawn, the more freely the higher"),
  topK: z.int().min(0).default(0).describe("draw from so many of the likeliest tokens; 0: from all"),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe("draw from the likeliest tokens that together have this probability"),
  repetitionPenalty: z
    .number()
    .positive()
    .default(1)
    .describe("above 1: what was said or asked becomes less likely to be said again"),
  noRepeatNgramSize: z
    .int()
    .min(0)
    .default(0)
    .describe("so many tokens in a row are never said twice; 0: no such rule"),
  numBeams: count.default(1).describe("beams of a search for the likeliest answer; 1: none"),
  lengthPenalty: z.number().default(1).describe("of beams: above 0 favours long answers, below 0 short ones"),
  earlyStopping: z
    .union([z.boolean(), z.literal("never")])
    .default(false)
    .describe("of beams: end as soon as there are as many whole answers as beams"),
  seed: z.int().min(0).default(0).describe("what drawn tokens follow from"),
  stop: z
    .preprocess((value) => (typeof value === "string" ? [value] : value), z.array(z.string().min(1)).max(16))
    .default([])
    .describe("text at which an answer ends, and which is left out; of a library call several"),
});

/** Checked, with every default filled in. */
export type GenerationOptions = z.output<typeof generationOptions>;

/** What a model's own files say of how it writes: ids of `generation_config.json`, `config.json` or the tokenizer. */
export interface GenerationTokens {
  /** Tokens that end an answer. */
  eosTokenIds: readonly number[];
  /** Token that an answer begins with, of encoder-decoders. */
  forcedBosTokenId?: number;
  /** Token that stands last where an answer reaches its greatest length. */
  forcedEosTokenId?: number;
}
