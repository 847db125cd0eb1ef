import { expect, test } from "vitest";
import { AnswerRows, type PromptRows } from "../../../src/inference/generation/answer-rows.ts";
import { generateTokens, promptRows, type TokenOptions } from "../../../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { PromptLookup } from "../../../src/inference/generation/prompt-lookup.ts";
import type { TextReader } from "../../../src/inference/generation/text-reader.ts";
import { hashed, MadeUpReader } from "./made-up-reader.ts";

const END = 0;
const VOCABULARY = 7;

/** The next token depends only on the last two, so texts repeat themselves. */
const repeating = (text: readonly number[]): number[] => hashed(VOCABULARY)(text.slice(-2));

/** A reader with all features of a decoder that reads in place. */
class MadeUpDecoder implements TextReader {
  runs = 0;
  #texts: number[][] = [];

  read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    this.runs++;
    expect(more.length).toBe(this.#texts.length);
    this.#texts = more.map((ids, i) => [...this.#texts[i]!, ...ids]);
    return Promise.resolve(this.#texts.map((text) => Float32Array.from(repeating(text))));
  }

  join(prompts: readonly (readonly number[])[]): Promise<Float32Array[]> {
    this.#texts.push(...prompts.map((prompt) => [...prompt]));
    return Promise.resolve(prompts.map((prompt) => Float32Array.from(repeating(prompt))));
  }

  readEach(ids: readonly number[]): Promise<Float32Array[]> {
    this.runs++;
    expect(this.#texts).toHaveLength(1);
    const [text] = this.#texts as [number[]];
    return Promise.resolve(
      ids.map((id) => {
        text.push(id);
        return Float32Array.from(repeating(text));
      }),
    );
  }

  forget(count: number): void {
    this.#texts[0]!.length -= count;
  }

  keep(texts: readonly number[]): void {
    this.#texts = texts.map((text) => [...this.#texts[text]!]);
  }

  release(): void {}
}

const options = (given: object): TokenOptions => ({
  ...generationOptions.parse({ maxNewTokens: 60, ...given }),
  eosTokenIds: [END],
});

async function written(reader: TextReader, prompts: readonly number[][], given: TokenOptions): Promise<number[][]> {
  const all: number[][] = [];
  await generateTokens(reader, prompts, given, {
    take({ answer, token }) {
      all[answer] ??= [];
      all[answer].push(token);
    },
  });
  return all;
}

const PROMPTS = Array.from({ length: 24 }, (_, i) =>
  Array.from({ length: 2 + i }, (_, k) => 1 + ((i * 5 + k * k) % 6)),
);

test.each([{}, { temperature: 0.7, seed: 3 }, { repetitionPenalty: 1.2 }, { temperature: 2, topK: 3, seed: 9 }])(
  "guessed tokens equal those generated one by one: %o",
  async (given) => {
    let fewer = 0;
    for (const prompt of PROMPTS) {
      const all = options({ minNewTokens: 40, ...given });
      const reader = new MadeUpDecoder();
      const found = await written(reader, [prompt], all);
      expect(found).toEqual(await written(new MadeUpReader(repeating), [prompt], all));
      fewer += found[0]!.length - 1 - reader.runs;
    }
    expect(fewer).toBeGreaterThan(0);
  },
);

test("parallel answers begin and end at different times without changing each other", async () => {
  const alone: number[][] = [];
  const together: number[][] = PROMPTS.map(() => []);
  const ends: number[] = [];
  const asked = PROMPTS.flatMap((prompt, i): PromptRows[] => {
    const own = options({ maxNewTokens: 1 + ((i * 7) % 20), temperature: i % 2, seed: i });
    return promptRows([prompt], own, {
      take: ({ token }) => together[i]!.push(token),
      onEnd: () => ends.push(i),
    });
  });
  for (const [i, prompt] of PROMPTS.entries()) {
    const own = options({ maxNewTokens: 1 + ((i * 7) % 20), temperature: i % 2, seed: i });
    alone.push(...(await written(new MadeUpReader(repeating), [prompt], own)));
  }
  const rows = new AnswerRows(new MadeUpDecoder());
  const waiting = [...asked];
  let most = 0;
  while (waiting.length > 0 || rows.count > 0) {
    if (waiting.length > 0 && rows.count < 4) await rows.begin([waiting.shift()!]);
    most = Math.max(most, rows.count);
    await rows.step();
  }
  expect(together).toEqual(alone);
  expect(most).toBe(4);
  expect(ends.toSorted((a, b) => a - b)).toEqual([...PROMPTS.keys()]);
});

test("an abandoned answer ends before its next token", async () => {
  const rows = new AnswerRows(new MadeUpDecoder());
  const all: number[][] = [[], []];
  let isLeft = false;
  const ends: number[] = [];
  const taker = {
    take: ({ answer, token }: { answer: number; token: number }) => all[answer]!.push(token),
    ended: (answer: number) => isLeft && answer === 0,
    onEnd: (answer: number) => ends.push(answer),
  };
  await rows.begin(
    promptRows(
      [
        [1, 2],
        [3, 4],
      ],
      options({ minNewTokens: 60 }),
      taker,
    ),
  );
  for (let i = 0; i < 3; i++) await rows.step();
  isLeft = true;
  await rows.step();
  expect([rows.count, all[0]!.length, all[1]!.length, ends]).toEqual([1, 3, 4, [0]]);
});

test("tokens that followed the last two tokens before are proposed, and fewer after a wrong proposal", () => {
  const lookup = new PromptLookup();
  const ids = [1, 2, 3, 4, 5, 6, 1, 2, 3];
  expect(lookup.propose(ids, 9)).toEqual([4, 5, 6]);
  expect(lookup.propose(ids, 2)).toEqual([4, 5]);
  lookup.learn(3, 3);
  expect(lookup.propose(ids, 9)).toEqual([4, 5, 6, 1, 2]);
  lookup.learn(5, 0);
  expect(lookup.propose(ids, 9)).toEqual([4, 5]);
  expect(lookup.propose([...ids, 9], 9)).toEqual([]);
});

test("if a second token costs nothing, the token that followed the last one is proposed, without effect on other proposals", () => {
  const lookup = new PromptLookup();
  const ids = [1, 2, 3, 4, 5, 2];
  expect(lookup.propose(ids, 9)).toEqual([]);
  expect(lookup.propose(ids, 9, true)).toEqual([3]);
  lookup.learn(1, 0);
  expect(lookup.propose([...ids, 3], 9, true)).toEqual([4, 5, 2]);
});
