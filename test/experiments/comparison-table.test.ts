import { expect, test } from "vitest";
import type { ComparedRun } from "../../src/experiments/compare.ts";
import { comparisonTable } from "../../src/experiments/comparison-table.ts";
import type { RunResult } from "../../src/runs/records.ts";

function run(method: string, task: string, seed: number, metrics: Record<string, number>, flops = 1): ComparedRun {
  const result: RunResult = {
    method,
    task,
    model: "tiny",
    seed,
    metrics,
    bestEpoch: 1,
    lastEpochMetrics: metrics,
    trainable: { start: 30, average: 10 * seed, end: 10, head: 4 },
    frozen: { count: 0, of: 0 },
    frozenAtStep: {},
    steps: 10,
    epochs: 2,
    seconds: 1,
    secondsPerStep: 0.1 * seed,
    tokensPerSecond: 100,
    peakMemory: 1e6 * seed,
    flops,
    adapterBytes: 100,
  };
  return { directory: `${task}/${method}-s${seed}`, task, method, seed, learningRate: 1, headLearningRate: 1, result };
}

test("mean and deviation over seeds, pairs of MNLI and QQP averaged first, costs relative to ELoRA", () => {
  const qqp = (accuracy: number, f1: number) => ({ accuracy, f1 });
  const runs = [
    run("aflora", "rte", 1, { accuracy: 0.8 }, 2),
    run("aflora", "rte", 2, { accuracy: 0.9 }, 4),
    run("aflora", "qqp", 1, qqp(0.9, 0.7), 10),
    run("aflora", "qqp", 2, qqp(0.8, 0.6), 10),
    run("elora", "rte", 1, { accuracy: 0.7 }, 6),
    run("elora", "qqp", 1, qqp(0.9, 0.9), 20),
  ];
  const [aflora, elora] = comparisonTable(runs);
  expect(aflora!.scores.rte!.accuracy!.mean).toBeCloseTo(0.85, 12);
  expect(aflora!.scores.rte!.accuracy!.deviation).toBeCloseTo(0.05 * Math.SQRT2, 12);
  // Seed 1: (0.8 + (0.9 + 0.7) / 2) / 2; seed 2: (0.9 + (0.8 + 0.6) / 2) / 2.
  expect(aflora!.average!.mean).toBeCloseTo((0.8 + 0.8) / 2, 12);
  expect(aflora!.average!.count).toBe(2);
  expect(aflora!.flopsToElora).toBeCloseTo((3 / 6 + 10 / 20) / 2, 12);
  expect([aflora!.trainable, aflora!.peakMemory]).toEqual([15, 2e6]);
  expect(elora!.flopsToElora).toBe(1);
  expect(elora!.average!.deviation).toBeUndefined();
});

test("MRPC counts by accuracy, though F1 picks its best epoch", () => {
  expect(comparisonTable([run("lora", "mrpc", 1, { f1: 0.9, accuracy: 0.6 })])[0]!.average!.mean).toBe(0.6);
});

test("no average where a task is missing, no relative cost where ELoRA is", () => {
  const [aflora, lora] = comparisonTable([
    run("aflora", "rte", 1, { accuracy: 0.8 }),
    run("aflora", "cola", 1, { matthews_correlation: 0.5 }),
    run("lora", "rte", 1, { accuracy: 0.8 }),
  ]);
  expect(aflora!.average!.mean).toBeCloseTo(0.65, 12);
  expect(lora!.average).toBeUndefined();
  expect(aflora!.flopsToElora).toBeUndefined();
});
