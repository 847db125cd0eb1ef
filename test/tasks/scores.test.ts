import { expect, test } from "vitest";
import type { Example } from "../../src/tasks/example.ts";
import { metricsOf, sameAnswerScores, scoresOf } from "../../src/tasks/examples.ts";

const task = { kind: "classification", labels: ["a", "b"], metrics: ["accuracy"] };
const examples = Array.from({ length: 10 }, (_, index): Example => ({ index, text: "x", label: 0 }));
const predicted = (right: number) => examples.map((_, i) => ({ label: i < right ? 0 : 1 }));

test("the accuracy of a few examples has the standard error of a proportion", async () => {
  const { metrics, errors } = await scoresOf(task, predicted(7), examples);
  expect(metrics.accuracy).toBeCloseTo(0.7, 12);
  expect(errors.accuracy).toBeCloseTo(Math.sqrt((0.7 * 0.3) / 9), 12);
});

test("the error is also that of a proportion if classes alternate and one is predicted worse", async () => {
  const turns = Array.from({ length: 2000 }, (_, index): Example => ({ index, text: "x", label: index % 2 }));
  const answers = turns.map(({ index }) => ({ label: index % 4 === 1 ? 1 : 0 }));
  const { metrics, errors } = await scoresOf(task, answers, turns);
  expect(metrics).toEqual({ accuracy: 0.75 });
  // √(0.75 · 0.25 / 2000), which 20 groups estimate to about a sixth.
  expect(errors.accuracy! / 0.00968).toBeGreaterThan(0.6);
  expect(errors.accuracy! / 0.00968).toBeLessThan(1.5);
});

test("if all answers are right, the error is unknown and left out", async () => {
  const scores = await scoresOf(task, predicted(10), examples);
  expect(scores).toEqual({ examples: 10, metrics: { accuracy: 1 }, errors: {} });
});

test("other events run between the groups that are left out, and a signal ends them", async () => {
  const leaving = new AbortController();
  const many = Array.from({ length: 100_000 }, (_, index): Example => ({ index, text: "x", label: index % 2 }));
  const scoring = scoresOf(task, many, many, leaving.signal);
  setTimeout(() => leaving.abort(new Error("left")));
  await expect(scoring).rejects.toThrow("left");
});

test("a signal ends a search of many held-out texts", async () => {
  const leaving = new AbortController();
  const pairs = Array.from(
    { length: 3000 },
    (_, index): Example => ({ index, text: `q${index}`, texts: [`p${index}`] }),
  );
  const vectors = pairs.map((_, i) => Float32Array.from({ length: 64 }, (_each, j) => Math.sin(i * 7 + j * j)));
  const found = vectors.map((vector) => ({ vectors: [vector, vector] }));
  const searching = metricsOf({ kind: "embedding", labels: [], metrics: ["ndcg_at_10"] }, found, pairs, leaving.signal);
  setTimeout(() => leaving.abort(new Error("left")));
  await expect(searching).rejects.toThrow("left");
});

test("the same answer for all: the better of the most frequent labels by each metric, and the mean of numbers", () => {
  const labelled = (labels: readonly number[]) => labels.map((label, index): Example => ({ index, text: "x", label }));
  const two = { ...task, metrics: ["accuracy", "f1", "matthews_correlation"] };
  const scores = sameAnswerScores(two, labelled([0, 0, 0, 1]));
  // Always predicting b is right in one of four cases, with a precision of 1/4 and a recall of 1.
  expect(scores).toEqual({ accuracy: 0.75, f1: 0.4, matthews_correlation: 0 });
  const numbers = { kind: "regression", labels: [], metrics: ["pearson", "mean_squared_error"] };
  expect(sameAnswerScores(numbers, labelled([1, 2, 6]))).toEqual({ pearson: 0, mean_squared_error: 14 / 3 });
  const rewards = { kind: "reward", labels: [], metrics: ["reward_accuracy"] };
  expect(sameAnswerScores(rewards, labelled([0, 0]))).toEqual({ reward_accuracy: 0.5 });
  expect(sameAnswerScores({ kind: "multi-label", labels: ["a"], metrics: [] }, [])).toBeUndefined();
});
