import { expect, test } from "vitest";
import type { Example } from "../../src/tasks/example.ts";
import { scoresOf } from "../../src/tasks/examples.ts";

const task = { kind: "classification", labels: ["a", "b"], metrics: ["accuracy"] };
const examples = Array.from({ length: 10 }, (_, index): Example => ({ index, text: "x", label: 0 }));
const predicted = (right: number) => examples.map((_, i) => ({ label: i < right ? 0 : 1 }));

test("an accuracy of a few examples has the standard error of a share", () => {
  const { metrics, errors } = scoresOf(task, predicted(7), examples);
  expect(metrics.accuracy).toBeCloseTo(0.7, 12);
  expect(errors.accuracy).toBeCloseTo(Math.sqrt((0.7 * 0.3) / 9), 12);
});

test("where all answers are right nothing is known of the error, and none is given", () => {
  expect(scoresOf(task, predicted(10), examples)).toEqual({ examples: 10, metrics: { accuracy: 1 }, errors: {} });
});
