import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generationOptions } from "../../../src/inference/generation/generation-options.ts";
import { processScores } from "../../../src/inference/generation/logits-processors.ts";

interface Case {
  ids: number[];
  written: number;
  rules: object;
  scores: number[];
  expected: (number | null)[];
}

const CASES = JSON.parse(
  readFileSync(new URL("../../fixtures/logits-processors.json", import.meta.url), "utf8"),
) as Case[];

test.each(CASES)("scores match transformers' processors: $rules after $ids", ({ ids, written, rules, ...rest }) => {
  const scores = Float32Array.from(rest.scores);
  processScores(scores, ids, written, { ...generationOptions.parse({}), eosTokenIds: [3], ...rules });
  const expected = rest.expected.map((value) => value ?? Number.NEGATIVE_INFINITY);
  expected.forEach((value, token) => {
    if (Number.isFinite(value)) expect(scores[token]).toBeCloseTo(value, 5);
    else expect(scores[token]).toBe(value);
  });
});

test("OpenAI's penalties count tokens of the answer, not of the prompt", () => {
  const scores = Float32Array.of(0, 0, 0, 0);
  const rules = { ...generationOptions.parse({ presencePenalty: 0.5, frequencyPenalty: 0.25 }), eosTokenIds: [3] };
  processScores(scores, [0, 1, 2, 1], 3, rules);
  expect([...scores]).toEqual([0, -1, -0.75, 0]);
});
