import { parseHTML } from "linkedom";
import { expect, test } from "vitest";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { renderStudy } from "../../src/reports/study.ts";
import { measuredOn, settingsTable, summaryOf } from "../../src/reports/study-tables.ts";
import type { FinishedRun } from "../../src/runs/read-run.ts";
import type { RunResult } from "../../src/runs/run-result.ts";
import { trialsOfRuns } from "../../src/studies/scored-trial.ts";
import { studyResults } from "../../src/studies/study-results.ts";

function run(
  method: string,
  task: string,
  seed: number,
  metrics: Record<string, number>,
  flops = 1,
  rank?: number,
): FinishedRun {
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
    notes: [],
  };
  const config = resolveConfig({ method, rank, seed, train: `${task}.csv`, validation: "held.csv" });
  const directory = `${task}/${method}-${rank}-s${seed}`;
  const examples = { train: 90, validation: { validation: 10 }, sha256: { all: "all", validation: "held" } };
  const records = { steps: [], evaluations: [], freezing: [], scores: [] };
  return { directory, config, dataFingerprint: { examples }, ...records, result };
}

const compared = (runs: FinishedRun[]) => studyResults({ title: "made up", notes: [] }, trialsOfRuns(runs));
const settingsOf = (runs: FinishedRun[]) => compared(runs).settings.rows;

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
  const { tasks, settings } = compared(runs);
  const accuracy = tasks[0]!.rows[0]!.scores.accuracy!;
  expect(accuracy.mean).toBeCloseTo(0.85, 12);
  expect(accuracy.deviation).toBeCloseTo(0.05 * Math.SQRT2, 12);
  const [aflora, vera] = settings.rows;
  // Seed 1: (0.8 + (0.9 + 0.7) / 2) / 2; seed 2: (0.9 + (0.8 + 0.6) / 2) / 2.
  expect(aflora!.average!.mean).toBeCloseTo((0.8 + 0.8) / 2, 12);
  expect(aflora!.average!.count).toBe(2);
  expect(aflora!.relativeCosts?.flops).toBeCloseTo((3 / 6 + 10 / 20) / 2, 12);
  expect([aflora!.costs!.trainable, aflora!.peakMemory]).toEqual([15, 2e6]);
  expect(vera!.relativeCosts?.flops).toBe(1);
  expect(vera!.average!.deviation).toBeUndefined();
  const [heading, row] = settingsTable(compared(runs));
  const shown = ["setting", "rte accuracy", "qqp accuracy", "qqp f1", "average", "trainable"];
  expect(heading!.slice(0, 6)).toEqual(shown);
  expect(row!.slice(0, 6)).toEqual(["aflora", "0.85 ± 0.071", "0.85 ± 0.071", "0.65 ± 0.071", "0.8 ± 0", "15"]);
  expect([heading!.at(-1), row!.at(-1)]).toEqual(["FLOPs, VeRA = 1", "0.50"]);
});

test("MRPC counts by accuracy, though F1 picks its best epoch", () => {
  expect(settingsOf([run("lora", "mrpc", 1, { f1: 0.9, accuracy: 0.6 })])[0]!.average!.mean).toBe(0.6);
});

test("no average if a task is missing, no relative cost if VeRA is missing", () => {
  const [aflora, lora] = settingsOf([
    run("aflora", "rte", 1, { accuracy: 0.8 }),
    run("aflora", "cola", 1, { matthews_correlation: 0.5 }),
    run("lora", "rte", 1, { accuracy: 0.8 }),
  ]);
  expect(aflora!.average!.mean).toBeCloseTo(0.65, 12);
  expect(lora!.average).toBeUndefined();
  expect(aflora!.relativeCosts?.flops).toBeUndefined();
});

test("costs are averaged over the tasks that all settings ran", () => {
  const { rows, sharedTasks } = compared([
    run("lora", "rte", 1, { accuracy: 0.8 }, 3),
    run("lora", "cola", 1, { matthews_correlation: 0.5 }, 100),
    run("vera", "rte", 1, { accuracy: 0.8 }, 6),
  ]).settings;
  expect(sharedTasks).toEqual(["rte"]);
  expect(rows.map(({ costs, relativeCosts }) => [costs!.flops, relativeCosts!.flops])).toEqual([
    [3, 0.5],
    [6, 1],
  ]);
  const apart = [run("lora", "rte", 1, { accuracy: 1 }), run("vera", "cola", 1, { accuracy: 1 })];
  expect(settingsOf(apart)[0]!.costs).toBeUndefined();
});

test("of several ranks of VeRA the highest costs 1, in the numbers and on the page", () => {
  const trials = trialsOfRuns([
    run("vera", "rte", 1, { accuracy: 0.8 }, 10, 64),
    run("vera", "rte", 1, { accuracy: 0.8 }, 20, 1024),
    run("lora", "rte", 1, { accuracy: 0.8 }, 5, 64),
  ]);
  const results = studyResults({ title: "made up", notes: [] }, trials);
  expect(results.settings.reference).toBe("vera, rank 1024");
  expect(results.settings.rows.map(({ relativeCosts }) => relativeCosts!.flops)).toEqual([0.5, 1, 0.25]);
  const page = parseHTML(renderStudy(results, trials)).document;
  const figure = [...page.querySelectorAll("figure")].find((of) => /Costs relative/.test(of.textContent!))!;
  const rows = [...figure.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent));
  expect(rows).toEqual([
    ["vera, rank 64", "1×", "0.5×", "1×"],
    ["vera, rank 1024", "1×", "1×", "1×"],
    ["lora", "1×", "0.25×", "1×"],
  ]);
});

test("the lowest error is the best; errors and correlations have no average", () => {
  const both = (of: Record<string, number>, method: string) => run(method, "custom", 1, of);
  const runs = [
    both({ mean_squared_error: 0.4, pearson: 0.9 }, "lora"),
    both({ mean_squared_error: 0.2, pearson: 0.8 }, "head"),
  ];
  const { tasks, settings } = compared(runs);
  expect(tasks[0]).toMatchObject({ metric: "mean_squared_error", direction: "lowest", best: "head", ties: [] });
  expect(summaryOf(tasks[0]!)).toMatch(
    /^custom\.csv: head is best, with the lowest mean_squared_error, 0\.2 over 1 seed\./,
  );
  expect(settings.rows[0]!.average!.mean).toBe(0.4);
  const mixed = runs.flatMap((of) => [of, run(of.result.method, "rte", 1, { accuracy: 0.5 })]);
  expect(settingsOf(mixed).map(({ average }) => average)).toEqual([undefined, undefined]);
});

test("all settings with the same score are named", () => {
  const of = (method: string, accuracy: number) => run(method, "rte", 1, { accuracy });
  const [task] = compared([of("lora", 0.8), of("head", 0.7), of("aflora", 0.8)]).tasks;
  expect([task!.best, task!.ties]).toEqual(["lora", ["aflora"]]);
  expect(summaryOf(task!)).toBe("rte: lora is best, with the highest accuracy, 0.8 over 1 seed. It ties with aflora.");
});

test("the best is compared with the second-best by seed", () => {
  const scores = { lora: [0.8, 0.9, 0.7], head: [0.7, 0.81, 0.59] };
  const runs = Object.entries(scores).flatMap(([method, of]) =>
    of.map((accuracy, seed) => run(method, "rte", seed, { accuracy })),
  );
  const [task] = compared(runs).tasks;
  expect(task!.next!.setting).toBe("head");
  expect(task!.next!.difference!.mean).toBeCloseTo(0.1, 12);
  expect(task!.next!.difference!.deviation).toBeCloseTo(0.01, 12);
  expect(summaryOf(task!)).toMatch(/Next is head; .* more than chance between seeds explains\.$/);
});

test("a run whose metric is NaN, which JSON writes as null, is left out of that metric and of the average", () => {
  const missing = { pearson: null as unknown as number };
  const { tasks, settings } = compared([
    run("lora", "stsb", 1, missing),
    run("lora", "stsb", 2, { pearson: 0.4 }),
    run("head", "stsb", 1, missing),
  ]);
  const [task] = tasks;
  expect(task!.rows[0]!.scores).toEqual({ pearson: { mean: 0.4, count: 1 } });
  expect(settings.rows.map(({ average }) => average)).toEqual([{ mean: 0.4, count: 1 }, undefined]);
  expect([task!.best, task!.ties]).toEqual(["lora", []]);
});

/** As if a run had recorded that it was scored on these examples. */
function scored(run: FinishedRun, all: string, validation: string, seed?: number): FinishedRun {
  const heldOut = seed === undefined ? undefined : { fraction: 0.1, seed };
  const examples = { train: 90, validation: { validation: 10 }, heldOut, sha256: { all, validation } };
  return { ...run, dataFingerprint: { examples } };
}

test("runs on other data, or on another split of them, share no scores and no costs", () => {
  const [aflora, vera] = ["aflora", "vera"].map((method) => run(method, "custom", 1, { accuracy: 0.8 }));
  const on = (...runs: FinishedRun[]) => compared(runs).tasks.map(({ task }) => task);
  const two = ["custom.csv (1)", "custom.csv (2)"];
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "a", "a1"))).toEqual(["custom.csv"]);
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "b", "a1"))).toEqual(two);
  expect(on(scored(aflora!, "a", "a1"), scored(vera!, "a", "a2"))).toEqual(two);
  expect(on(scored(aflora!, "a", "a1", 1), scored(vera!, "a", "a2", 2))).toEqual(two);

  const { tasks, settings } = compared([scored(aflora!, "a", "a1"), scored(vera!, "a", "a2")]);
  expect(tasks.map(({ best, rows }) => [best, rows.length])).toEqual([
    ["aflora", 1],
    ["vera", 1],
  ]);
  expect([settings.sharedTasks, settings.rows[0]!.costs]).toEqual([[], undefined]);
});

test("settings whose seeds drew the same validation examples are compared over these seeds", () => {
  const drawn = (method: string, seed: number) =>
    scored(run(method, "custom", seed, { accuracy: 0.8 }), "a", `${seed}`, seed);
  const { tasks } = compared([1, 2].flatMap((seed) => [drawn("aflora", seed), drawn("lora", seed)]));
  expect(tasks.map(({ task }) => task)).toEqual(["custom.csv"]);
  expect(measuredOn(tasks[0]!)).toBe("90 training examples; scored on 10 held out (10 %, drawn by seeds 1, 2).");
  expect(compared([drawn("aflora", 1), drawn("aflora", 2), drawn("lora", 1)]).tasks).toHaveLength(2);
});
