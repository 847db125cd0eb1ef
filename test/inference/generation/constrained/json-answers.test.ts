import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { describe, expect, test } from "vitest";
import { folderFiles } from "../../../../src/checkpoints/file-source-node.ts";
import { UserError } from "../../../../src/errors.ts";
import { beamSearch } from "../../../../src/inference/generation/beam-search.ts";
import { constraintOf, type JsonSchema } from "../../../../src/inference/generation/constrained/schema-constraint.ts";
import { generateTokens } from "../../../../src/inference/generation/generate-tokens.ts";
import { generationOptions } from "../../../../src/inference/generation/generation-options.ts";
import { loadTokenizer } from "../../../../src/inputs/load-tokenizer.ts";
import { randomFor } from "../../../../src/methods/initializers.ts";
import { hashed, MadeUpReader } from "../made-up-reader.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));
const schemas: Record<string, JsonSchema> = JSON.parse(readFileSync(fixture("json-schemas.json"), "utf8"));
const tokenizer = await loadTokenizer(folderFiles(fixture("chat/tokenizer")));
const END = tokenizer.specialTokens.eos!.id;
const VOCABULARY = 512;
const ajv = new Ajv2020({ allowUnionTypes: true, strictTuples: false });

/** An answer of a model for which all tokens are equally likely. */
async function answer(schema: JsonSchema, seed: number, given: object = {}): Promise<{ text: string; tokens: number }> {
  const constraint = (await constraintOf(schema, tokenizer))!;
  const random = randomFor(seed, "noise");
  const noise = (): number[] => Array.from({ length: VOCABULARY }, () => uniformFloat64(random));
  const options = generationOptions.parse({ maxNewTokens: 120, temperature: 1.5, seed, ...given });
  await constraint.refuseUnlessPossible(options.maxNewTokens);
  const ids: number[] = [];
  let complete = false;
  const all = { ...options, eosTokenIds: [END], constraint };
  await generateTokens(new MadeUpReader(noise), [[1]], all, {
    take({ token, isWhole }) {
      ids.push(token);
      complete = isWhole || token === END;
    },
  });
  expect(complete).toBe(true);
  return { text: tokenizer.decode(ids, { skipSpecialTokens: true }), tokens: ids.length };
}

describe.each(Object.entries(schemas))("%s", (_, schema) => {
  const valid = ajv.compile(schema as object);
  const check = (text: string): void => {
    const value: unknown = JSON.parse(text);
    if (!valid(value)) expect.fail(`${text}: ${ajv.errorsText(valid.errors)}`);
  };

  test("a model for which all tokens are equally likely writes answers that Ajv accepts", async () => {
    const texts = await Promise.all([1, 2, 3, 4, 5].map(async (seed) => (await answer(schema, seed)).text));
    texts.forEach(check);
    expect(new Set(texts).size).toBeGreaterThan(1);
  });

  test("an answer ends within its greatest length, however short that is", async () => {
    let least = 1;
    while (!(await answer(schema, 1, { maxNewTokens: least }).catch(refusal))) least++;
    for (const maxNewTokens of [least, least + 7]) {
      const { text, tokens } = await answer(schema, 6, { maxNewTokens });
      check(text);
      expect(tokens).toBeLessThanOrEqual(maxNewTokens);
    }
  });
});

test("beams keep to a schema, too", async () => {
  const schema = { type: "object", properties: { a: { enum: ["x", "y"] }, b: { type: "integer" } }, required: ["a"] };
  const constraint = (await constraintOf(schema, tokenizer))!;
  const options = { ...generationOptions.parse({ maxNewTokens: 40, numBeams: 3 }), eosTokenIds: [END], constraint };
  const [ids] = await beamSearch(new MadeUpReader(hashed(VOCABULARY)), [[1, 2]], options);
  const { a, b = 0 } = JSON.parse(tokenizer.decode(ids!, { skipSpecialTokens: true }));
  expect(["x", "y"]).toContain(a);
  expect(Number.isInteger(b)).toBe(true);
});

function refusal(error: unknown): undefined {
  expect(error).toBeInstanceOf(UserError);
  return undefined;
}
