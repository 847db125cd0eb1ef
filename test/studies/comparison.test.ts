import { parseHTML } from "linkedom";
import { expect, test } from "vitest";
import { renderComparison } from "../../src/reports/report.ts";
import type { RunResult } from "../../src/runs/records.ts";
import { resolveConfig } from "../../src/runs/run-config.ts";
import type { LabelledRun } from "../../src/studies/compared-data.ts";
import { compareRuns } from "../../src/studies/comparison.ts";

const EXAMPLES = { train: 90, validation: { validation: 10 }, sha256: { all: "all", validation: "held" } };

function run(
  method: string,
  task: string,
  seed: number,
  metrics: Record<string, number>,
  flops = 1,
  rank?: number,
): LabelledRun {
  const result: RunResult = {
    method,
    task,
    model: "tiny",
    seed,
    base: "float32",
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
    memoryEstimate: { weights: 1, optimizer: 1, activations: 1, total: 3 },
    flops,
    adapterBytes: 100,
  };
  const label = rank === undefined ? method : `${method}-r${rank}`;
  const config = resolveConfig({ method, rank, seed, train: "made-up.csv", validation: "held.csv" });
  const directory = `${task}/${label}-s${seed}`;
  return {
    label,
    run: {
      directory,
      config,
      dataFingerprint: { examples: EXAMPLES },
      steps: [],
      evaluations: [],
      freezing: [],
      scores: [],
      result,
    },
  };
}

test("mean and deviation over seeds, pairs of MNLI and QQP averaged first, costs relative to VeRA", () => {
  const qqp = (accuracy: number, f1: number) => ({ accuracy, f1 });
  const runs = [
    run("aflora", "rte", 1, { accuracy: 0.8 }, 2),
    run("aflora", "rte", 2, { accuracy: 0.9 }, 4),
    run("aflora", "qqp", 1, qqp(0.9, 0.7), 10),
    run("aflora", "qqp", 2, qqp(0.8, 0.6), 10),
    run("vera", "rte", 1, { accuracy: 0.7 }, 6),
    run("vera", "qqp", 1, qqp(0.9, 0.9), 20),
  ];
  const [aflora, vera] = compareRuns(runs).rows;
  expect(aflora!.scores.rte!.accuracy!.mean).toBeCloseTo(0.85, 12);
  expect(aflora!.scores.rte!.accuracy!.deviation).toBeCloseTo(0.05 * Math.SQRT2, 12);
  // Seed 1: (0.8 + (0.9 + 0.7) / 2) / 2; seed 2: (0.9 + (0.8 + 0.6) / 2) / 2.
  expect(aflora!.average!.mean).toBeCloseTo((0.8 + 0.8) / 2, 12);
  expect(aflora!.average!.count).toBe(2);
  expect(aflora!.relativeCosts?.flops).toBeCloseTo((3 / 6 + 10 / 20) / 2, 12);
  expect([aflora!.costs!.trainable, aflora!.peakMemory]).toEqual([15, 2e6]);
  expect(vera!.relativeCosts?.flops).toBe(1);
  expect(vera!.average!.deviation).toBeUndefined();
});

test("MRPC counts by accuracy, though F1 picks its best epoch", () => {
  expect(compareRuns([run("lora", "mrpc", 1, { f1: 0.9, accuracy: 0.6 })]).rows[0]!.average!.mean).toBe(0.6);
});

test("no average where a task is missing, no relative cost where VeRA is", () => {
  const [aflora, lora] = compareRuns([
    run("aflora", "rte", 1, { accuracy: 0.8 }),
    run("aflora", "cola", 1, { matthews_correlation: 0.5 }),
    run("lora", "rte", 1, { accuracy: 0.8 }),
  ]).rows;
  expect(aflora!.average!.mean).toBeCloseTo(0.65, 12);
  expect(lora!.average).toBeUndefined();
  expect(aflora!.relativeCosts?.flops).toBeUndefined();
});

test("costs are averaged over the tasks that all settings ran", () => {
  const { rows, sharedTasks } = compareRuns([
    run("lora", "rte", 1, { accuracy: 0.8 }, 3),
    run("lora", "cola", 1, { matthews_correlation: 0.5 }, 100),
    run("vera", "rte", 1, { accuracy: 0.8 }, 6),
  ]);
  expect(sharedTasks).toEqual(["rte"]);
  expect(rows.map(({ costs, relativeCosts }) => [costs!.flops, relativeCosts!.flops])).toEqual([
    [3, 0.5],
    [6, 1],
  ]);
  expect(compareRuns([run("lora", "rte", 1, {}), run("vera", "cola", 1, {})]).rows[0]!.costs).toBeUndefined();
});

test("of several ranks of VeRA the highest costs 1, in the numbers and on the page", () => {
  const comparison = compareRuns([
    run("vera", "rte", 1, { accuracy: 0.8 }, 10, 64),
    run("vera", "rte", 1, { accuracy: 0.8 }, 20, 1024),
    run("lora", "rte", 1, { accuracy: 0.8 }, 5, 64),
  ]);
  expect(comparison.reference).toBe("vera-r1024");
  expect(comparison.rows.map(({ relativeCosts }) => relativeCosts!.flops)).toEqual([0.5, 1, 0.25]);
  const page = parseHTML(renderComparison(comparison)).document;
  const figure = [...page.querySelectorAll("figure")].find((of) => /Floating-point/.test(of.textContent!))!;
  const rows = [...figure.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
  expect(rows).toEqual([
    ["vera-r64", "0.5×"],
    ["vera-r1024", "1×"],
    ["lora-r64", "0.25×"],
  ]);
});

test("the lowest error is the best; errors and correlations have no average", () => {
  const both = (of: Record<string, number>, method: string) => run(method, "custom", 1, of);
  const runs = [
    both({ mean_squared_error: 0.4, pearson: 0.9 }, "lora"),
    both({ mean_squared_error: 0.2, pearson: 0.8 }, "head"),
  ];
  const { best, rows } = compareRuns(runs);
  expect(best).toEqual([
    { task: "custom", metric: "mean_squared_error", best: "lowest", label: "head" },
    { task: "custom", metric: "pearson", best: "highest", label: "lora" },
  ]);
  expect(rows[0]!.average!.mean).toBe(0.4);
  const mixed = runs.flatMap((of) => [of, run(of.label, "rte", 1, { accuracy: 0.5 })]);
  expect(compareRuns(mixed).rows.map(({ average }) => average)).toEqual([undefined, undefined]);
});

test("a run whose metric is no number, which JSON writes as null, is left out of that metric and of the average", () => {
  const missing = { pearson: null as unknown as number };
  const { rows, best } = compareRuns([
    run("lora", "stsb", 1, missing),
    run("lora", "stsb", 2, { pearson: 0.4 }),
    run("head", "stsb", 1, missing),
  ]);
  expect(rows[0]!.scores.stsb).toEqual({ pearson: { mean: 0.4, count: 1 } });
  expect(rows[0]!.average).toEqual({ mean: 0.4, count: 1 });
  expect(rows[1]!.average).toBeUndefined();
  expect(best).toEqual([{ task: "stsb", metric: "pearson", best: "highest", label: "lora" }]);
});

/** As if a run had recorded that it was scored on these examples. */
function scored(of: LabelledRun, all: string, validation: string, seed?: number): LabelledRun {
  const heldOut = seed === undefined ? undefined : { fraction: 0.1, seed };
  const examples = { train: 90, validation: { validation: 10 }, heldOut, sha256: { all, validation } };
  return { ...of, run: { ...of.run, dataFingerprint: { examples } } };
}

test("runs on other data, or on another split of them, share no scores and no costs", () => {
  const [aflora, vera] = ["aflora", "vera"].map((method) => run(method, "custom", 1, { accuracy: 0.8 }));
  const on = (...runs: LabelledRun[]) => compareRuns(runs).tasks;
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "a", "a1"))).toEqual(["custom"]);
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "b", "a1"))).toEqual(["custom 1", "custom 2"]);
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "a", "a2"))).toEqual(["custom 1", "custom 2"]);
  expect(on(scored(aflora!, "a", "a1", 1), scored(vera!, "a", "a2", 2))).toEqual(["custom 1", "custom 2"]);

  const { rows, best, sharedTasks, data } = compareRuns([scored(aflora!, "a", "a1"), scored(vera!, "a", "a2")]);
  expect(rows.map(({ scores }) => Object.keys(scores))).toEqual([["custom 1"], ["custom 2"]]);
  expect(best.map(({ label }) => label)).toEqual(["aflora", "vera"]);
  expect([sharedTasks, rows[0]!.costs]).toEqual([[], undefined]);
  expect(Object.values(data).map(({ name }) => name)).toEqual(["made-up.csv (1)", "made-up.csv (2)"]);
});

test("settings whose seeds drew the same validation examples are compared over these seeds", () => {
  const drawn = (method: string, seed: number) =>
    scored(run(method, "custom", seed, { accuracy: 0.8 }), "a", `${seed}`, seed);
  const { tasks, data } = compareRuns([1, 2].flatMap((seed) => [drawn("aflora", seed), drawn("lora", seed)]));
  expect(tasks).toEqual(["custom"]);
  expect(data.custom).toEqual({
    name: "made-up.csv",
    trainedOn: "90",
    scoredOn: "10 held out (10 %, drawn by seeds 1, 2)",
  });
  expect(compareRuns([drawn("aflora", 1), drawn("aflora", 2), drawn("lora", 1)]).tasks).toHaveLength(2);
});
