import { expect, test } from "vitest";
import { drawToken, likeliest } from "../../../src/inference/generation/choose-token.ts";
import { generateTokens, type TokenOptions } from "../../../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { randomFor } from "../../../src/methods/initializers.ts";
import { hashed, MadeUpReader } from "./made-up-reader.ts";

const END = 0;
const logits = hashed(6);
const PROMPTS = [[1], [2, 3], [3, 1, 2], [5, 5]];

const options = (given: object): TokenOptions => ({
  ...generationOptions.parse({ maxNewTokens: 12, ...given }),
  eosTokenIds: [END],
});

async function answers(prompts: readonly number[][], given: TokenOptions): Promise<number[][]> {
  const all: number[][] = prompts.map(() => []);
  await generateTokens(new MadeUpReader(logits), prompts, given, {
    take: ({ answer, token }) => all[answer]!.push(token),
  });
  return all;
}

async function copied(given: TokenOptions): Promise<number[][]> {
  const all: number[][] = [];
  await generateTokens(
    new MadeUpReader(logits),
    PROMPTS,
    { ...given, copies: 3 },
    {
      take({ answer, token }) {
        all[answer] ??= [];
        all[answer].push(token);
      },
    },
  );
  return all;
}

test("greedy: each token is the likeliest after all before it, up to the end token or the length limit", async () => {
  const expected = PROMPTS.map((prompt) => {
    const ids: number[] = [];
    while (ids.length < 12 && ids.at(-1) !== END) ids.push(likeliest(Float32Array.from(logits([...prompt, ...ids]))));
    return ids;
  });
  expect(new Set(expected.map(({ length }) => length)).size).toBeGreaterThan(1);
  expect(await answers(PROMPTS, options({}))).toEqual(expected);
});

test("sampled answers depend only on the seed and the prompt, not on parallel answers", async () => {
  const given = options({ temperature: 1, seed: 4 });
  const together = await answers(PROMPTS, given);
  for (const [i, prompt] of PROMPTS.entries()) expect(await answers([prompt], given)).toEqual([together[i]]);
  expect(await answers(PROMPTS, options({ temperature: 1, seed: 5 }))).not.toEqual(together);
});

test("several answers to a prompt: the first equals that without others, and each samples independently", async () => {
  const given = options({ temperature: 1, seed: 4 });
  const alone = await answers(PROMPTS, given);
  const all = await copied(given);
  expect(all).toHaveLength(12);
  PROMPTS.forEach((_, i) => {
    expect(all[3 * i]).toEqual(alone[i]);
  });
  expect(new Set(all.slice(0, 3).map(String)).size).toBeGreaterThan(1);
});

test("an answer ends when the caller needs no more tokens", async () => {
  const all: number[][] = PROMPTS.map(() => []);
  const reader = new MadeUpReader(logits);
  await generateTokens(reader, PROMPTS, options({ minNewTokens: 12 }), {
    take: ({ answer, token }) => all[answer]!.push(token),
    ended: (prompt) => all[prompt]!.length >= prompt + 1,
  });
  expect(all.map(({ length }) => length)).toEqual([1, 2, 3, 4]);
});

/** How often each token is drawn. */
function shares(scores: number[], given: object): number[] {
  const [draws, random] = [20_000, randomFor(1, "test")];
  const counts = scores.map(() => 0);
  for (let i = 0; i < draws; i++)
    counts[drawToken(Float32Array.from(scores), { ...options({ temperature: 1 }), ...given }, random)]!++;
  return counts.map((count) => count / draws);
}

/** Logarithms of these probabilities. */
const logs = (probabilities: number[]): number[] => probabilities.map(Math.log);

test.each([
  ["as they are", { temperature: 1 }, [0.1, 0.4, 0.2, 0.3]],
  ["a lower temperature sharpens", { temperature: 0.5 }, [1 / 30, 16 / 30, 4 / 30, 9 / 30]],
  ["of the two likeliest", { temperature: 1, topK: 2 }, [0, 4 / 7, 0, 3 / 7]],
  ["of those that together reach 0.75", { temperature: 1, topP: 0.75 }, [0, 4 / 9, 2 / 9, 3 / 9]],
  ["of the likeliest alone", { temperature: 1, topP: 0.01 }, [0, 1, 0, 0]],
])("tokens are drawn by their probabilities, %s", (_, given, expected) => {
  const found = shares(logs([0.1, 0.4, 0.2, 0.3]), given);
  for (const [token, share] of expected.entries()) {
    if (share === 0) expect(found[token]).toBe(0);
    else expect(Math.abs(found[token]! - share)).toBeLessThan(0.015);
  }
});

test("an excluded token is never sampled", () => {
  expect(shares([Number.NEGATIVE_INFINITY, 0, 0], { temperature: 2 })[0]).toBe(0);
});
