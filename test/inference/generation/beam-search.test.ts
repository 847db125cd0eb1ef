import { expect, test } from "vitest";
import { type BeamOptions, beamSearch } from "../../../src/inference/generation/beam-search.ts";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { logSoftmaxInPlace } from "../../../src/inference/generation/logits-processors.ts";
import { hashed, MadeUpReader } from "./made-up-reader.ts";

const VOCABULARY = 4;
const END = 0;
const LENGTH = 4;
const logits = hashed(VOCABULARY);

const options = (given: object): BeamOptions => ({
  ...generationOptions.parse({ maxNewTokens: LENGTH, ...given }),
  eosTokenIds: [END],
});

/** The answer with the best score, by trying all. */
function best(prompt: readonly number[], lengthPenalty: number): number[] {
  let found = { ids: [] as number[], score: Number.NEGATIVE_INFINITY };
  const visit = (ids: number[], sum: number): void => {
    if (ids.length === LENGTH || ids.at(-1) === END) {
      const score = sum / ids.length ** lengthPenalty;
      if (score > found.score) found = { ids, score };
      return;
    }
    const next = logSoftmaxInPlace(Float32Array.from(logits([...prompt, ...ids])));
    next.forEach((logProbability, token) => void visit([...ids, token], sum + logProbability));
  };
  visit([], 0);
  return found.ids;
}

const PROMPTS = [[1], [2, 3], [3, 1, 2], [2], [1, 1]];

test.each([1, 0, 2, -1])(
  "with as many beams as texts, the search finds the best of all answers, length penalty %s",
  async (lengthPenalty) => {
    const numBeams = VOCABULARY ** (LENGTH - 1);
    const found = await beamSearch(
      new MadeUpReader(logits),
      PROMPTS,
      options({ numBeams, lengthPenalty, earlyStopping: "never" }),
    );
    expect(found).toEqual(PROMPTS.map((prompt) => best(prompt, lengthPenalty)));
  },
);

test("a search that is ended returns the best answers so far", async () => {
  const given = options({ numBeams: 3, minNewTokens: LENGTH });
  for (const tokens of [0, 1, 3]) {
    let asked = 0;
    const found = await beamSearch(new MadeUpReader(logits), PROMPTS, given, () => asked++ === tokens - 1);
    // `ended` is called after each token, so there is at least one.
    expect(found.map((ids) => ids.length)).toEqual(PROMPTS.map(() => (tokens === 0 ? LENGTH : tokens)));
  }
});

test("prompts searched together have the same answers as alone", async () => {
  const given = options({ numBeams: 3 });
  const together = await beamSearch(new MadeUpReader(logits), PROMPTS, given);
  for (const [i, prompt] of PROMPTS.entries()) {
    expect(await beamSearch(new MadeUpReader(logits), [prompt], given)).toEqual([together[i]]);
  }
});
