import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { beamSearch } from "../../../src/inference/generation/beam-search.ts";
import { CachedDecoder } from "../../../src/inference/generation/cached-decoder.ts";
import { generateTokens } from "../../../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { loadDecoder } from "../../support/decoder-fixture.ts";
import { runtime } from "../../support/runtime.ts";

interface Fixture {
  prompts: number[][];
  eosTokenIds: number[];
  cases: { options: { numBeams?: number }; answers: number[][] }[];
}

const { prompts, eosTokenIds, cases } = JSON.parse(
  readFileSync(new URL("../../fixtures/generation.json", import.meta.url), "utf8"),
) as Fixture;

let decoder: CachedDecoder;
beforeAll(async () => {
  const { model, weights } = await loadDecoder("llama-1", "languageModel");
  decoder = await CachedDecoder.compile(model, weights, runtime);
});
afterAll(() => decoder.release());

test.each(cases)(
  "answers match transformers' generate (oracle/generation.py): $options",
  async ({ options, answers }) => {
    const all = { ...generationOptions.parse(options), eosTokenIds };
    const reader = decoder.reader();
    if (all.numBeams > 1) {
      expect(await beamSearch(reader, prompts, all)).toEqual(answers);
    } else {
      const written = prompts.map((): number[] => []);
      await generateTokens(reader, prompts, all, { take: ({ answer, token }) => written[answer]!.push(token) });
      expect(written).toEqual(answers);
    }
    reader.release();
  },
);
