import { expect, test } from "vitest";
import { stepsToRepeat } from "../../src/preparation/stages/refit.ts";
import type { EvaluationRecord } from "../../src/training/training-records.ts";

const evaluation = (step: number, accuracy: number): EvaluationRecord => ({
  kind: "evaluation",
  ...{ step, epoch: step, loss: 0.5, metrics: { accuracy }, errors: { accuracy: 0.1 } },
});

test("a run is repeated to its end, unless its last evaluation is worse than its best by more than chance explains", () => {
  const repeated = (accuracy: number): number =>
    stepsToRepeat({ state: { step: 4 }, best: evaluation(1, 0.8), last: evaluation(4, accuracy) });
  // Each accuracy has a standard error of 0.1, their difference one of 0.14.
  expect(repeated(0.52)).toBe(4);
  expect(repeated(0.51)).toBe(1);
});
