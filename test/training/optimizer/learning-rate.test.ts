import { expect, test } from "vitest";
import { isAllZero, learningRateFactor } from "../../../src/training/optimizer/learning-rate.ts";

test("rises over the warm-up steps and falls to 0 at the end", () => {
  const factors = Array.from({ length: 11 }, (_, step) => learningRateFactor(step, 10, { warmupRatio: 0.15 }));
  expect(factors).toEqual([0, 0.5, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]);
});

test("without warm-up starts at the peak", () => {
  expect([0, 1, 2, 3].map((step) => learningRateFactor(step, 2, { warmupRatio: 0 }))).toEqual([1, 0.5, 0, 0]);
});

test("a run may be all warm-up", () => {
  expect([0, 1, 2].map((step) => learningRateFactor(step, 2, { warmupRatio: 1 }))).toEqual([0, 0.5, 0]);
});

test("warm-up may be given in steps", () => {
  const factors = [0, 1, 2, 3, 4].map((step) => learningRateFactor(step, 4, { warmupRatio: 0.9, warmupSteps: 2 }));
  expect(factors).toEqual([0, 0.5, 1, 0.5, 0]);
});

test("a run of one step learns nothing with any warm-up; longer runs do", () => {
  expect([1, 2].map((steps) => isAllZero(steps, { warmupRatio: 0.1 }))).toEqual([true, false]);
  expect(isAllZero(1, { warmupRatio: 0 })).toBe(false);
});
