import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Example, Prediction } from "../../src/tasks/example.ts";
import { computeMetrics } from "../../src/tasks/examples.ts";
import { balancedClassWeights } from "../../src/tasks/losses/class-weights.ts";
import { confusionMatrix } from "../../src/tasks/metrics/metrics.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";

interface Case<Value> {
  predictions: Value[];
  labels: Value[];
  expected: Record<string, number>;
}

/** Written by oracle/metrics.py with scikit-learn, SciPy and seqeval. */
const fixture: {
  classification: (Case<number> & { classes: number; confusion: number[][]; balanced: Record<string, number> })[];
  regression: Case<number>[];
  "multi-label": (Case<number[]> & { classes: number })[];
  "token-classification": (Case<string[]> & { tags: string[] })[];
} = JSON.parse(readFileSync(new URL("../fixtures/metrics.json", import.meta.url), "utf8"));

const names = (classes: number) => Array.from({ length: classes }, (_, index) => `class ${index}`);
const examplesOf = (labels: Prediction[]): Example[] => labels.map((label, index) => ({ index, text: "x", ...label }));

function check(
  kind: string,
  labels: string[],
  found: Prediction[],
  truth: Prediction[],
  expected: Case<0>["expected"],
) {
  const metrics = Object.keys(expected);
  const computed = computeMetrics({ kind, labels, metrics }, found, examplesOf(truth));
  expect(Object.keys(computed)).toEqual(metrics);
  for (const name of metrics) {
    const scale = Math.max(1, Math.abs(expected[name]!));
    expect(computed[name]! / scale, name).toBeCloseTo(expected[name]! / scale, 9);
  }
}

describe("metrics equal those of scikit-learn, SciPy and seqeval", () => {
  const single = (labels: number[]) => labels.map((label) => ({ label }));

  it("50,000 classes, without a confusion matrix", () => {
    const classes = 50_000;
    const labels = Array.from({ length: classes }, (_, i) => i);
    const predictions = labels.map((label) => (label % 2 ? label : label + 1));
    const matthews_correlation = (classes / 2 - 1) / Math.sqrt((classes - 1) * (classes - 2));
    const half = { accuracy: 0.5, micro_f1: 0.5, macro_f1: 1 / 3, matthews_correlation };
    check("classification", names(classes), single(predictions), single(labels), half);
    const details = findTaskKind("classification").review!.details!(
      single(predictions),
      examplesOf(single(labels)),
      names(classes),
    );
    expect(Object.keys(details)).toEqual(["metrics"]);
  });

  it.each(fixture.classification)("classification into $classes", (each) => {
    check("classification", names(each.classes), single(each.predictions), single(each.labels), each.expected);
    const { details: detailsOf } = findTaskKind("classification").review!;
    const details = detailsOf!(single(each.predictions), examplesOf(single(each.labels)), names(each.classes));
    expect(details.metrics.macro_f1).toBeCloseTo(each.expected.macro_f1!, 9);
    expect(confusionMatrix(each.predictions, each.labels, each.classes)).toEqual(each.confusion);
    const weights = balancedClassWeights(each.confusion.map((row) => row.reduce((sum, count) => sum + count, 0)));
    weights.forEach((weight, index) => {
      expect(weight).toBeCloseTo(each.balanced[index] ?? 0, 12);
    });
  });

  it.each(fixture.regression)("regression", (each) => {
    check("regression", [], single(each.predictions), single(each.labels), each.expected);
  });

  it.each(fixture["multi-label"])("multi-label of $classes", (each) => {
    const several = (rows: number[][]) => rows.map((labels) => ({ labels }));
    check("multi-label", names(each.classes), several(each.predictions), several(each.labels), each.expected);
  });

  it.each(fixture["token-classification"])("entities of $tags", (each) => {
    const indices = (rows: string[][]) => rows.map((row) => ({ labels: row.map((tag) => each.tags.indexOf(tag)) }));
    check("token-classification", each.tags, indices(each.predictions), indices(each.labels), each.expected);
  });
});

describe("undefined metrics and truncated texts", () => {
  it("correlations with constant predictions are 0", () => {
    const truth = examplesOf([{ label: 1 }, { label: 2.5 }, { label: 3 }]);
    const found = truth.map(() => ({ label: 0.1 }));
    const task = { kind: "regression", labels: [], metrics: ["pearson", "spearmanr"] };
    expect(computeMetrics(task, found, truth)).toEqual({ pearson: 0, spearmanr: 0 });
  });

  it("truncated words count as outside of entities", () => {
    const task = {
      kind: "token-classification",
      labels: ["B-PER", "O"],
      metrics: ["f1", "accuracy"],
    };
    const truth = examplesOf([{ labels: [0, 1, 0, 1] }]);
    const { f1, accuracy } = computeMetrics(task, [{ labels: [0, 1] }], truth);
    expect(f1).toBeCloseTo(2 / 3);
    expect(accuracy).toBe(0.75);
  });

  it("refuses a metric that the kind of task does not have", () => {
    const task = { kind: "regression", labels: [], metrics: ["accuracy"] };
    expect(() => computeMetrics(task, [{ label: 1 }], examplesOf([{ label: 1 }]))).toThrow(
      "no metric accuracy for regression",
    );
  });
});
