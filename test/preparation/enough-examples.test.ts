import { expect, test } from "vitest";
import { evaluatedCount, evaluationNotes, sampleSize } from "../../src/preparation/enough-examples.ts";

const custom = (classes: number) => ({ name: "custom", labels: Array.from({ length: classes }, (_, i) => `c${i}`) });
const all = (length: number) => ({ length });

test("a part of many validation examples is evaluated, and all of few, of published ones, and by request", () => {
  expect(evaluatedCount(custom(4), all(9_999), undefined)).toBe(9_999);
  expect(evaluatedCount(custom(4), all(100_000), undefined)).toBe(10_000);
  expect(evaluatedCount(custom(10_000), all(100_000), undefined)).toBe(50_000);
  expect(evaluatedCount({ ...custom(2), name: "qqp" }, all(40_430), undefined)).toBe(40_430);
  expect(evaluatedCount(custom(4), all(100_000), "all")).toBe(100_000);
  expect(evaluatedCount(custom(4), all(100_000), 300)).toBe(300);
  expect(evaluatedCount(custom(4), all(200), 300)).toBe(200);
});

test("the note names the part and its standard error", () => {
  expect(evaluationNotes("validation", all(200), all(200))).toEqual([]);
  expect(evaluationNotes("validation", all(100_000), all(10_000))).toEqual([
    '10,000 of the 100,000 validation examples are evaluated, which gives an accuracy a standard error of at most 0.005; option "evaluateSamples" all takes all',
  ]);
});

test("more examples are read before training if only the head learns", () => {
  expect([sampleSize(custom(2), 3), sampleSize(custom(2), 0)]).toEqual([20_000, 50_000]);
  expect([sampleSize(custom(1000), 3), sampleSize(custom(10_000), 3)]).toEqual([50_000, 50_000]);
});
