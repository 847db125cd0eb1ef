import { expect, test } from "vitest";
import { type MovingParts, RunProgress } from "../../src/training/run-progress.ts";
import type { EvaluationRecord } from "../../src/training/training-records.ts";

// Two classes, for which guessing has a loss of ln 2; parameters are only copied.
const parts = { parameters: { copy: () => new Map(), count: () => 1 } } as unknown as MovingParts;
const evaluation = (step: number, accuracy: number, loss: number): EvaluationRecord => ({
  kind: "evaluation",
  ...{ step, epoch: step, loss, metrics: { accuracy }, errors: { accuracy: 0.1 } },
});
const bestOf = (...evaluations: EvaluationRecord[]): number => bestWith(Math.log(2), ...evaluations);
const bestWith = (chanceLoss: number | undefined, ...evaluations: EvaluationRecord[]): number => {
  const progress = new RunProgress(parts, {
    model: {},
    task: { kind: "classification" },
    startCounts: true,
    chanceLoss,
  } as never);
  for (const each of evaluations) progress.addEvaluation(each);
  return progress.best!.step;
};

test("an informative fitted head yields to training, unless it is better by more than the standard error of the difference", () => {
  expect(bestOf(evaluation(0, 0.8, 0.5), evaluation(1, 0.75, 0.9))).toBe(1);
  expect(bestOf(evaluation(0, 0.8, 0.5), evaluation(1, 0.65, 0.4))).toBe(0);
});

test("a head that is hardly better than guessing must be beaten", () => {
  expect(bestOf(evaluation(0, 0.55, 0.68), evaluation(1, 0.5, 0.6))).toBe(0);
  expect(bestOf(evaluation(0, 0.55, 0.68), evaluation(1, 0.6, 0.9))).toBe(1);
});

test("an epoch whose metric is not a number is the best only until another has a number", () => {
  const numberless = evaluation(1, Number.NaN, 0.1);
  expect(bestOf(numberless, evaluation(2, 0.1, 0.9))).toBe(2);
  expect(bestOf(evaluation(0, 0.5, 0.5), numberless)).toBe(0);
  expect(bestOf(numberless, evaluation(2, Number.NaN, 0.05))).toBe(2);
});

test("without a loss of guessing, a start must be beaten, even one without loss", () => {
  expect(bestWith(undefined, evaluation(0, 1, 0), evaluation(1, 0.95, 0.1))).toBe(0);
});
