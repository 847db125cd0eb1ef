import { expect, test } from "vitest";
import type { Tokenizer } from "../../src/inputs/tokenizer.ts";
import { completionLogprobs, shownLikelihoods } from "../../src/serving/token-logprobs.ts";

const encoder = new TextEncoder();
/** Three tokens that write something, half a character among them, and one that ends answers. */
const bytes = [encoder.encode("ab"), encoder.encode("é"), Uint8Array.of(0xc3), undefined];
const tokenizer = { decode: ([id]: number[]) => `<${id}>` } as unknown as Tokenizer;

const told = [
  { token: 0, logProbability: -0.5, likeliest: [{ token: 0, logProbability: -0.5 }] },
  { token: 1, logProbability: -1.5, likeliest: [{ token: 3, logProbability: -0.25 }] },
  { token: 2, logProbability: Number.NEGATIVE_INFINITY, likeliest: [] },
  { token: 3, logProbability: -2, likeliest: [] },
];

test("tokens have their log probabilities and bytes, without the end token, and without infinity", () => {
  expect(shownLikelihoods(told, bytes, tokenizer)).toEqual([
    { token: "ab", logprob: -0.5, bytes: [97, 98], top_logprobs: [{ token: "ab", logprob: -0.5, bytes: [97, 98] }] },
    { token: "é", logprob: -1.5, bytes: [0xc3, 0xa9], top_logprobs: [{ token: "<3>", logprob: -0.25, bytes: null }] },
    { token: "�", logprob: -9999, bytes: [0xc3], top_logprobs: [] },
  ]);
});

test("completions have parallel lists, with offsets in the text", () => {
  expect(completionLogprobs(shownLikelihoods(told.slice(0, 2), bytes, tokenizer))).toEqual({
    tokens: ["ab", "é"],
    token_logprobs: [-0.5, -1.5],
    top_logprobs: [{ ab: -0.5 }, { "<3>": -0.25 }],
    text_offset: [0, 2],
  });
});
