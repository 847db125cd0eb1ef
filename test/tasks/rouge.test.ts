import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { lastNumber, scoreAnswers } from "../../src/tasks/metrics/answers.ts";
import { stem } from "../../src/tasks/metrics/porter-stemmer.ts";
import { type RougeScores, rouge } from "../../src/tasks/metrics/rouge.ts";

type Four = [number, number, number, number];
const fixture: { stems: Record<string, string>; texts: [string, string, Four][]; dialogsum: Four[] } = JSON.parse(
  readFileSync(fileURLToPath(new URL("../fixtures/rouge.json", import.meta.url)), "utf8"),
);

const valuesOf = ({ rouge1, rouge2, rougeL, rougeLsum }: RougeScores): number[] =>
  [rouge1, rouge2, rougeL, rougeLsum].map((score) => Number(score.toFixed(6)));

test("stems match NLTK", () => {
  for (const [word, expected] of Object.entries(fixture.stems)) expect(stem(word), word).toBe(expected);
});

test("scores of made-up texts match rouge-score", () => {
  for (const [text, reference, expected] of fixture.texts) expect(valuesOf(rouge(text, reference))).toEqual(expected);
});

test("words of up to three letters are not stemmed", () => {
  expect(rouge("gas", "ga").rouge1).toBe(0);
  expect(rouge("cars", "car").rouge1).toBe(1);
});

const DIALOGSUM = fileURLToPath(new URL("../../../shared/data/dialogsum/dev.jsonl", import.meta.url));

test.skipIf(!existsSync(DIALOGSUM))(
  "500 pairs of DialogSum score as rouge-score has them (skipped without the data)",
  () => {
    const rows: { dialogue: string; summary: string }[] = readFileSync(DIALOGSUM, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const lines = (text: string) => text.replace(/(?<=[.!?]) /g, "\n");
    rows.forEach(({ dialogue, summary }, i) => {
      const other = i % 2 ? lines(rows[(i + 1) % rows.length]!.summary) : dialogue.split("\n").slice(0, 3).join("\n");
      expect(valuesOf(rouge(other, lines(summary)))).toEqual(fixture.dialogsum[i]);
    });
  },
);

test.each([
  ["He has 3 apples.\n#### 1,234", 1234],
  ["#### -7\nand 8 more", -7],
  ["It costs $1,250.50.", 1250.5],
  ["First 4, then 5.", 5],
  [".5 of it", 0.5],
  ["10%", 10],
  ["none", undefined],
])("the number that %j comes to", (text, expected) => {
  expect(lastNumber(text)).toBe(expected);
});

test("answers are scored together; last numbers only if every reference has one", () => {
  const scores = scoreAnswers([" 72\n", "so 10.0004", "none"], ["72", "2 * 5\n#### 10", "#### 3"]);
  expect(scores.exact_match).toBeCloseTo(1 / 3);
  expect(scores.last_number).toBeCloseTo(2 / 3);
  expect(scoreAnswers(["0.001", "0.0011"], ["0", "0"]).last_number).toBe(0.5);
  expect(scoreAnswers(["1", "2"], ["1", "none"])).not.toHaveProperty("last_number");
  const { rouge1, rougeLsum } = scoreAnswers(["a cat", "mat"], ["the cat", "hat"]);
  expect([rouge1, rougeLsum]).toEqual([0.25, 0.25]);
  expect(scoreAnswers(["a cat"], ["the cat"])).toEqual({
    exact_match: 0,
    rouge1: 0.5,
    rouge2: 0,
    rougeL: 0.5,
    rougeLsum: 0.5,
  });
});
