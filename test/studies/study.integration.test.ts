import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTask } from "../../src/preparation/load-task-node.ts";
import type { RunMemory } from "../../src/preparation/memory-fit-node.ts";
import { resolveConfig } from "../../src/preparation/run-options-node.ts";
import { renderStudy } from "../../src/reports/study.ts";
import { studyPictures } from "../../src/reports/study-pictures.ts";
import { studyCsv, studyMarkdown } from "../../src/reports/study-tables.ts";
import { readFinishedRun } from "../../src/runs/read-run.ts";
import { evaluationsOf, secondsOf, timeRun, warm } from "../../src/studies/estimate.ts";
import { gridOf, parseFactor } from "../../src/studies/factors.ts";
import { besideChance, pairedDifference } from "../../src/studies/paired-difference.ts";
import { runStudy, type TrialRunner } from "../../src/studies/run-study.ts";
import { trialsOfStudy } from "../../src/studies/scored-trial.ts";
import { epochsOf, rungsOf } from "../../src/studies/search/halving.ts";
import { lengthThatFits } from "../../src/studies/search/within-minutes.ts";
import type { StudyOutcome, StudyPlan } from "../../src/studies/study.ts";
import { parseStudy } from "../../src/studies/study-file.ts";
import { planStudy, trialFolder } from "../../src/studies/study-plan.ts";
import { studyResults, type TaskResults } from "../../src/studies/study-results.ts";
import { Identifier } from "../../src/studies/trial-identity.ts";
import { keepWinner, tune } from "../../src/studies/tune.ts";
import { estimateWorkers, ShardTimes } from "../../src/studies/workers-estimate.ts";
import { aflora, afloraHere, expectRefusal } from "../support/aflora.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";
import { hereRunner } from "./here-runner.ts";

let folder: string;
let options: Record<string, unknown>;
let twoBlocks: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-study-"));
  const model = await writeTinyModel(join(folder, "model"));
  twoBlocks = await writeTinyModel(join(folder, "two-blocks"), 2);
  const train = await writeCsv(join(folder, "tickets.csv"), tickets());
  const validation = await writeCsv(join(folder, "held.csv"), tickets(1));
  options = { model, train, validation, text: "message", label: "team", epochs: 4, batchSize: 8, threads: 1 };
  // Fitting it takes a third of a run so small.
  options.headStart = "new";
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const study = (more: Record<string, unknown>) =>
  parseStudy({ options, vary: { rank: [2, 4], learningRate: [0.001, 0.03] }, seeds: [1, 2], ...more }, "made up");

const resultsOf = (plan: StudyPlan, outcome: StudyOutcome) =>
  studyResults({ ...plan.study, notes: plan.notes }, trialsOfStudy(plan, outcome));

async function run(
  given: Record<string, unknown>,
  output = join(folder, `out-${Math.random().toString(36).slice(2)}`),
  runner = hereRunner,
) {
  const ran: string[] = [];
  const plan = await planStudy(study(given));
  const outcome = await runStudy(plan, output, runner, { onTrial: ({ id }) => ran.push(id) });
  return { plan, output, outcome, ran, results: resultsOf(plan, outcome) };
}

/** A study of two trials, which several tests look at. */
const twoTrials = () => {
  two ??= run({ options: { ...options, epochs: 1 }, vary: { rank: [2, 4] }, seeds: [1] });
  return two;
};
let two: ReturnType<typeof run> | undefined;

/** Options as flags of the command. */
const flagsOf = (of: Record<string, unknown>): string[] =>
  Object.entries(of).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);

const statuses = ({ trials }: StudyOutcome) => trials.map(({ status }) => status);

describe("factors", () => {
  const labels = (factor: ReturnType<typeof parseFactor>) => factor.levels?.map(({ label }) => label);

  test("a range in steps, linear or logarithmic, integer if the option is", () => {
    expect(labels(parseFactor("learningRate", { from: 0.0001, to: 0.01, scale: "log", steps: 3 }))).toEqual([
      "0.0001",
      "0.001",
      "0.01",
    ]);
    expect(labels(parseFactor("rank", { from: 2, to: 16, scale: "log", steps: 4 }))).toEqual(["2", "4", "8", "16"]);
    expect(labels(parseFactor("beta1", { from: 0.5, to: 0.9, steps: 3 }))).toEqual(["0.5", "0.7", "0.9"]);
  });

  test("a condition keeps a factor from taking part, choices set several options", () => {
    const factors = [
      parseFactor("method", ["aflora", "lora"]),
      parseFactor("beta1", { values: [0.8, 0.9], when: { method: "aflora" } }),
      parseFactor("rule", { choices: { paper: { freezeRule: "matrix-fraction" } }, when: { method: ["aflora"] } }),
    ];
    expect(gridOf(factors, { epochs: 1 }).map(({ values }) => values)).toEqual([
      { method: "aflora", beta1: "0.8", rule: "paper" },
      { method: "aflora", beta1: "0.9", rule: "paper" },
      { method: "lora" },
    ]);
  });

  test("a factor follows those that its condition is about, whatever their order", () => {
    const under = parseFactor("freezeBlocksEarliest", { values: ["10%", "30%"], when: { freezeBlocks: "linear" } });
    const blocks = parseFactor("freezeBlocks", { values: ["linear", "off"], when: { method: "lora" } });
    expect(gridOf([under, blocks], { method: "lora" }).map(({ values }) => values)).toEqual([
      { freezeBlocks: "linear", freezeBlocksEarliest: "10%" },
      { freezeBlocks: "linear", freezeBlocksEarliest: "30%" },
      { freezeBlocks: "off" },
    ]);
    expect(() => gridOf([under], { method: "lora" })).toThrow(
      /"freezeBlocksEarliest" takes part in no configuration: none has freezeBlocks linear;/,
    );
    const circle = parseFactor("method", { values: ["lora"], when: { freezeBlocks: "linear" } });
    expect(() => gridOf([circle, blocks], {})).toThrow(
      /conditions of factors "method", "freezeBlocks" depend on each other in a circle/,
    );
  });

  test.each<[string, string, unknown, RegExp]>([
    ["no option", "betta1", [1], /factor "betta1": no option has this name; did you mean "beta1"\?/],
    ["no values", "beta1", [], /factor "beta1" has no values/],
    ["empty range", "beta1", { from: 0.9, to: 0.5 }, /the range from 0.9 to 0.5 is empty/],
    ["a log of nothing", "learningRate", { from: 0, to: 1, scale: "log" }, /must begin above 0, not at 0/],
    ["seed", "seed", [1], /can't be varied: give seeds instead/],
    ["threads", "threads", [1], /how a run is computed/],
    ["unknown form", "beta1", { value: [1] }, /factor "beta1", values: it is missing/],
    [
      "unknown condition",
      "beta1",
      { values: [1], when: { methd: "lora" } },
      /"methd", which is not an option; did you mean "method"/,
    ],
    [
      "unknown option of a choice",
      "x",
      { choices: { a: { rnk: 1 } } },
      /option "rnk": no option has this name; did you mean "rank"/,
    ],
  ])("%s is refused", (_, name, given, message) => {
    expect(() => parseFactor(name, given)).toThrow(message);
  });
});

test("successive halving: one in three continues, to three times as many epochs", () => {
  expect(rungsOf(9, 9, 3)).toEqual([
    { epochs: 1, configurations: 9 },
    { epochs: 3, configurations: 3 },
    { epochs: 9, configurations: 1 },
  ]);
  expect(epochsOf(rungsOf(9, 9, 3))).toBe(9 + 6 + 6);
  expect(rungsOf(4, 2, 3)).toEqual([
    { epochs: 1, configurations: 4 },
    { epochs: 2, configurations: 2 },
  ]);
  expect(rungsOf(1, 5, 3)).toEqual([{ epochs: 5, configurations: 1 }]);
});

describe("a plan", () => {
  test("names trials by their identity, wherever the files are", async () => {
    const ids = async (more: Record<string, unknown>) =>
      (await planStudy(study(more))).configurations.flatMap(({ trials }) => trials.map(({ id }) => id));
    const first = await ids({});
    expect(new Set(first).size).toBe(8);
    const moved = { train: join(folder, "copy.csv"), model: join(folder, "model-2") };
    await writeTinyModel(moved.model);
    await writeCsv(moved.train, tickets());
    expect(await ids({ options: { ...options, ...moved, threads: 2 } })).toEqual(first);
    await writeCsv(moved.train, tickets(2));
    expect(await ids({ options: { ...options, ...moved } })).not.toContain(first[0]);
    expect((await ids({ seeds: [2, 3], vary: { rank: [4], learningRate: [0.03] } }))[0]).toBe(first[7]);
  });

  test("names trials on a data set of the hub by its commit and the file that they are reported on", async () => {
    const config = resolveConfig({ ...options, validation: undefined });
    const task = { ...(await loadTask(config)), origin: { revision: "0123abc", files: [] } };
    const file = join(folder, "reported.csv");
    const dataOf = async (reported?: string) => (await new Identifier().identify(config, task, reported)).data;
    expect(await dataOf()).toBe("0123abc");
    await writeCsv(file, tickets());
    const before = await dataOf(file);
    await writeCsv(file, tickets(2));
    expect(await dataOf(file)).not.toBe(before);
  });

  test("names all trials that cannot work, before anything runs", async () => {
    await expect(
      planStudy(study({ vary: { rank: [2, 33, 64] }, options: { ...options, method: "psoft" } })),
    ).rejects.toThrow(
      /2 of 3 configurations cannot work: rank 33: rank 33 exceeds that of layer .*; rank 64: rank 64 exceeds/,
    );
    await expect(planStudy(study({ metric: "acuracy" }))).rejects.toThrow(/did you mean "accuracy"/);
    await expect(planStudy(study({ options: { ...options, train: join(folder, "none.csv") } }))).rejects.toThrow(
      /none\.csv/,
    );
  });

  test("refuses a factor that takes part in no draw", async () => {
    const draws = (vary: object) => planStudy(study({ search: "random", trials: 3, vary }));
    const under = { values: ["10%", "30%"], when: { freezeBlocks: "linear" } };
    await expect(draws({ freezeBlocks: ["off"], freezeBlocksEarliest: under })).rejects.toThrow(
      /"freezeBlocksEarliest" takes part in no configuration: none has freezeBlocks linear;/,
    );
    const ofAnother = { values: [1, 4], when: { method: "aflora" } };
    await expect(draws({ method: ["lora", "vera"], beta1: ofAnother })).rejects.toThrow(
      /"beta1" belongs to aflora and adalora, not to the methods here \(lora, vera\)/,
    );
  });

  test("leaves out options that a configuration's method does not have", async () => {
    const { configurations } = await planStudy(
      study({ options: { ...options, beta1: 0.5 }, vary: { method: ["aflora", "lora"], beta2: [0.9, 0.95] } }),
    );
    expect(configurations.map(({ label }) => label)).toEqual([
      "aflora, beta2 0.9",
      "aflora, beta2 0.95",
      "lora, beta2 0.9",
    ]);
    await expect(
      planStudy(study({ options: { ...options, method: "lora" }, vary: { beta2: [0.9, 0.95] } })),
    ).rejects.toThrow(/"beta2" belongs to aflora/);
  });

  test("a factor of choices named method may leave the method as it is", async () => {
    const choices = { early: { freezeInitial: "10%" }, late: { freezeInitial: "50%" } };
    const { configurations } = await planStudy(
      study({ options: { ...options, method: "aflora" }, vary: { method: { choices } } }),
    );
    expect(configurations.map(({ label }) => label)).toEqual(["early", "late"]);
  });

  test("draws the same configurations again", async () => {
    const vary = { learningRate: { from: 0.0001, to: 0.1, scale: "log" }, rank: [2, 4, 8] };
    const labels = async () =>
      (await planStudy(study({ search: "random", trials: 5, vary }))).configurations.map(({ label }) => label);
    expect(await labels()).toHaveLength(5);
    expect(await labels()).toEqual(await labels());
  });
});

describe("a grid", () => {
  test("runs every trial once, resumes, and keeps the trials that still fit after a change", async () => {
    const lora = { options: { ...options, method: "lora", epochs: 1 } };
    const first = await run(lora);
    expect(first.ran).toHaveLength(8);
    expect(new Set(statuses(first.outcome))).toEqual(new Set(["finished"]));
    const file = join(first.outcome.trials[0]!.directory, "result.json");
    const written = (await stat(file)).mtimeMs;
    expect((await run(lora, first.output)).ran).toEqual([]);
    const vary = { rank: [2, 4, 8], learningRate: [0.001, 0.03] };
    const changed = await run({ ...lora, vary, seeds: [1] }, first.output);
    expect(changed.ran).toHaveLength(2);
    expect((await stat(file)).mtimeMs).toBe(written);

    const [task] = first.results.tasks;
    expect(task).toMatchObject({
      task: "tickets.csv",
      metric: "accuracy",
      direction: "highest",
      reportedSeparately: true,
    });
    expect(task!.effects.map(({ factor }) => factor)).toEqual(["rank", "learningRate"]);
    // A main effect is the mean over the other factor, its spread that over seeds.
    const reported = (rank: string, seed: number) =>
      first.results.trials
        .filter(({ values, seed: own }) => values.rank === rank && own === seed)
        .map((row) => row.scores.accuracy!);
    const bySeed = [1, 2].map((seed) => reported("2", seed).reduce((a, b) => a + b) / 2);
    expect(task!.effects[0]!.levels[0]!.score.mean).toBeCloseTo((bySeed[0]! + bySeed[1]!) / 2, 12);
    expect(task!.effects[0]!.levels[0]!.score.deviation).toBeCloseTo(
      Math.abs(bySeed[0]! - bySeed[1]!) / Math.SQRT2,
      12,
    );
    expect(task!.interactions[0]!.cells).toHaveLength(4);

    const csv = studyCsv(first.results).trimEnd().split("\n");
    expect(csv[0]).toBe(
      "rank,learningRate,id,data,stage,seed,status,epochs,metric,heldOut,heldOutLoss,score,error,sameAnswer,trainableStart,trainable,trainableEnd,seconds,secondsPerStep,peakMemory,flops,reason,macro_f1",
    );
    expect(csv).toHaveLength(9);
    const page = renderStudy(first.results, trialsOfStudy(first.plan, first.outcome));
    for (const title of ["Effect of rank", "rank × learningRate", "All settings", "Score and trainable parameters"]) {
      expect(page).toContain(title);
    }
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    expect(studyMarkdown(first.results)).toContain(
      "| setting | tickets.csv accuracy, held out | tickets.csv accuracy | tickets.csv macro_f1 | trainable |",
    );
  });

  test("between equal scores the lower loss decides, as in halving", async () => {
    const { plan, outcome } = await twoTrials();
    const chosenWith = (losses: number[]) => {
      const trials = outcome.trials.map((trial, i) => {
        const evaluations = [{ ...trial.records!.evaluations.at(-1)!, metrics: { accuracy: 0.5 }, loss: losses[i]! }];
        const result = { ...trial.records!.result!, metrics: { accuracy: 0.5 } };
        return { ...trial, records: { ...trial.records!, evaluations, result } };
      });
      const [{ best, ties }] = resultsOf(plan, { ...outcome, trials }).tasks as [TaskResults];
      return { best, ties };
    };
    expect(chosenWith([0.4, 0.3])).toEqual({ best: "rank 4", ties: ["rank 2"] });
    expect(chosenWith([0.3, 0.4])).toEqual({ best: "rank 2", ties: ["rank 4"] });
  });

  test("an axis of many numbers is sorted, and labels some of them", async () => {
    const { results } = await twoTrials();
    const [task] = results.tasks;
    const rates = [0.03, 0.001, 0.02, 0.0005, 0.01, 0.04, 0.002, 0.006, 0.0001, 0.05, 0.003];
    const rows = rates.map((rate, i) => {
      const values = { rank: i % 2 ? "2" : "4", learningRate: String(rate) };
      return { ...task!.rows[0]!, setting: `learningRate ${rate}`, values };
    });
    const pictures = studyPictures({ ...task!, rows, effects: [] });
    const { svg } = pictures.find(({ title }) => title.startsWith("All settings"))!;
    const labels = [...svg.text.matchAll(/translate\(([\d.]+),([\d.]+)\)"[^>]*>(0\.0\d+)</g)];
    const upwards = labels.toSorted((a, b) => Number(b[2]) - Number(a[2])).map(([, , , label]) => label);
    expect(upwards).toEqual(["0.0001", "0.001", "0.003", "0.01", "0.03", "0.05"]);
  });

  test("keeps trials of a version that lacked an option, not those of one with another default", async () => {
    const one = { options: { ...options, method: "head", epochs: 1 }, vary: { learningRate: [0.01] }, seeds: [1] };
    const first = await run(one);
    const file = join(first.outcome.trials[0]!.directory, "config.json");
    const { warmupRatio, ...older } = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify(older));
    expect((await run(one, first.output)).ran).toEqual([]);
    await writeFile(file, JSON.stringify({ ...older, warmupRatio: 2 * warmupRatio }));
    const again = await run(one, first.output);
    expect(again.ran).toHaveLength(1);
    expect(again.outcome.trials[0]!.records!.config.run.warmupRatio).toBe(warmupRatio);
  });

  test("marks a failed trial, runs the others, and tries it again", async () => {
    const failing: TrialRunner = async (job) => (job.config.rank === 4 ? { failed: "for a test" } : hereRunner(job));
    const given = { options: { ...options, method: "lora", epochs: 1 }, vary: { rank: [2, 4] }, seeds: [1, 2] };
    const first = await run(given, undefined, failing);
    expect(statuses(first.outcome)).toEqual(["finished", "finished", "failed", "failed"]);
    expect(first.results.trials[2]).toMatchObject({ status: "failed", reason: "for a test" });
    expect(studyMarkdown(first.results)).toContain("## Failed");
    expect((await run(given, first.output)).ran).toHaveLength(2);
  });
});

test("halving resumes the survivors: they end like runs that were never cut off", async () => {
  const given = {
    options: { ...options, method: "lora" },
    vary: { learningRate: [0.0001, 0.001, 0.01, 0.03] },
    seeds: [1],
  };
  const halved = await run({ ...given, search: "halving", reduction: 2 });
  expect(statuses(halved.outcome).filter((status) => status === "finished")).toHaveLength(1);
  expect(statuses(halved.outcome).filter((status) => status === "pruned")).toHaveLength(3);
  const { trial, directory } = halved.outcome.trials.find(({ status }) => status === "finished")!;
  const grid = await run({ ...given, vary: { learningRate: [trial.config.learningRate] } });
  const adapterOf = (run: string) => readFile(join(run, "adapter/adapter.safetensors"));
  expect(await adapterOf(directory)).toEqual(await adapterOf(trialFolder(grid.output, trial)));
  // Again: nothing is left to do, and it comes to the same.
  const again = await run({ ...given, search: "halving", reduction: 2 }, halved.output);
  expect(again.ran).toEqual([]);
  expect(statuses(again.outcome)).toEqual(statuses(halved.outcome));
});

test("tune trains the defaults, then what fits into the time, and leaves the best as a run", async () => {
  const { epochs: _, validation: __, batchSize: ___, ...data } = options;
  const output = join(folder, "tuned");
  const notes: string[] = [];
  // So much time that none is short, whatever the machine; most trials fail, which is quick.
  const given = { options: { ...data, model: twoBlocks, epochs: 3 }, minutes: 100, output, seed: 1 };
  let begun = 0;
  const few: TrialRunner = async (job) =>
    job.resume || job.config.validationSplit === 0.1 || ++begun <= 4 ? hereRunner(job) : { failed: "for a test" };
  const end = { onNote: (note: string) => notes.push(note) };
  const { outcome, winner, defaults, again } = await tune(given, few, end);
  expect(notes.join()).toMatch(/[1-9]\d* other settings fit into the time/);
  expect(defaults!.trial.config).toMatchObject({ method: "lora", patience: 3 });
  const scores = outcome.trials.flatMap(({ status, records, configuration }) =>
    status === "finished" && !configuration.stage ? [records!.result!.metrics.accuracy!] : [],
  );
  expect(winner!.records!.result!.metrics.accuracy).toBe(Math.max(...scores));
  const { learningRate, rank, method } = winner!.trial.config;
  expect(again!.trial.config).toMatchObject({ learningRate, method, validationSplit: 0.1 });
  expect(again!.trial.config).not.toHaveProperty("patience");
  expect(again!.trial.config.rank).toBe(rank);
  await keepWinner(again!, output);
  expect((await readFinishedRun(output)).config.run).toMatchObject({ output, validationSplit: 0.1 });
  const other = { ...given, output: winner!.directory };
  await expect(tune(other, hereRunner, end)).rejects.toThrow(/already holds a run/);
  await expect(tune({ ...given, minutes: 1e-4, output: join(folder, "none") }, hereRunner, end)).rejects.toThrow(
    /is too few/,
  );

  const difference = await pairedDifference(winner!.directory, defaults!.directory, {});
  expect(difference.gain).toBeCloseTo(difference.first - difference.second, 12);
  expect(await pairedDifference(winner!.directory, winner!.directory, {})).toMatchObject({ gain: 0, standardError: 0 });
});

test("description of a difference: chance does not explain a clear loss", () => {
  expect(besideChance({ gain: 0.01, standardError: 0.008 })).toBe("no more than chance in these examples explains");
  expect(besideChance({ gain: 0.02, standardError: 0.008 })).toBe("more than chance in these examples explains");
  expect(besideChance({ gain: -0.02, standardError: 0.008 })).toMatch(
    /^more than chance .* in favour of the defaults$/,
  );
});

test("if the defaults do not fit, tune shortens all trials equally, or uses the time for one run", () => {
  // An epoch of 100 s, of a run that takes 20 of them.
  const length = { epochs: 20, batchSize: 64, contrastive: false, stepsPerEpoch: 50, validation: 0, refitSteps: 0 };
  const timing = { method: "lora", start: 10, step: 2, evaluated: 0.01, workLeft: 1, memory: {} as RunMemory, length };
  const within = (minutes: number, batchIsGiven = false) => lengthThatFits(timing, batchIsGiven, minutes, 0.2);
  expect(within(90)).toEqual({ epochs: 20, batchSize: 64, compares: true });
  expect(within(60)).toEqual({ epochs: 10, batchSize: 32, compares: true });
  expect(within(60, true)).toEqual({ epochs: 10, batchSize: 64, compares: true });
  // A run that stands alone trains on nine tenths of the examples in place of eight.
  expect(within(20)).toEqual({ epochs: 8, batchSize: 25, compares: false });
  expect(within(5)).toEqual({ epochs: 2, batchSize: 16, compares: false });
  expect(() => within(1)).toThrow(
    /^option "minutes" 1 is too few: an epoch alone takes 124 s here; give option "minutes" 3 or more/,
  );
});

test("a run that uses all of the time is not compared, and tune notes it", async () => {
  const { validation: _, batchSize: __, headStart: ___, ...data } = options;
  const notes: string[] = [];
  const given = { options: { ...data, epochs: 1_000_000 }, minutes: 1, output: join(folder, "tuned-alone"), seed: 1 };
  const failing: TrialRunner = async () => ({ failed: "for a test" });
  const { outcome, shortenedFrom } = await tune(given, failing, { onNote: (note) => notes.push(note) });
  const { epochs, batchSize, validationSplit, patience } = outcome.trials[0]!.trial.config;
  expect({ batchSize, shortenedFrom }).toEqual({ batchSize: 2, shortenedFrom: 1_000_000 });
  expect({ validationSplit, patience }).toEqual({ validationSplit: 0.1, patience: undefined });
  expect(notes.join()).toMatch(
    `one run of ${epochs} of the defaults' 1000000 epochs, in batches of 2 instead of 8, takes all of it; about `,
  );
});

test("settings that tune tries have distinct names, even if the learning rate is given", async () => {
  const { validation: _, ...data } = options;
  const tuned = { ...data, epochs: 3, learningRate: 0.01, rank: 4, method: "lora", maxGradNorm: 1 };
  const given = { options: tuned, minutes: 3, output: join(folder, "tuned-head"), seed: 1 };
  const done: string[] = [];
  const defaultsAlone: TrialRunner = async (job) =>
    done.push(job.trial.id) === 1 ? hereRunner(job) : { failed: "for a test" };
  const { outcome } = await tune(given, defaultsAlone, {});
  const labels = outcome.trials.flatMap(({ configuration }) => (configuration.stage ? [] : configuration.label));
  expect(labels.length).toBeGreaterThan(2);
  expect(new Set(labels).size).toBe(labels.length);
});

test("tune keeps one complete run: nothing of an older one, and none that looks finished after a cut", async () => {
  const [winner] = (await twoTrials()).outcome.trials;
  const output = join(folder, "kept");
  await mkdir(output);
  await writeFile(join(output, "scores.jsonl"), "another run's");
  await keepWinner(winner!, output);
  expect((await readFinishedRun(output)).result).toEqual(winner!.records!.result);
  expect(existsSync(join(output, "scores.jsonl"))).toBe(false);
  const damaged = join(folder, "damaged");
  await cp(winner!.directory, damaged, { recursive: true });
  await writeFile(join(damaged, "config.json"), "{");
  await expect(keepWinner({ ...winner!, directory: damaged }, output)).rejects.toThrow(/config\.json/);
  expect(existsSync(join(output, "result.json"))).toBe(false);
});

test("an estimate knows a run's length, and adds up the times of its parts", async () => {
  const timing = await timeRun({ ...options, validation: undefined, epochs: 12, seed: 1 });
  expect(timing.length).toMatchObject({ epochs: 12, batchSize: 8, stepsPerEpoch: 5, validation: 5 });
  for (const part of [timing.start, timing.step, timing.evaluated]) expect(part).toBeGreaterThan(0);

  const ofSteps = await timeRun({ ...options, validation: undefined, epochs: 12, maxSteps: 13, seed: 1 });
  expect(ofSteps.length).toMatchObject({ epochs: 13 / 5, stepsPerEpoch: 5 });
  expect(evaluationsOf(ofSteps)).toBe(4);
  expect(secondsOf({ ...ofSteps, start: 4, step: 3, evaluated: 0.1 })).toBeCloseTo(4 + 13 * 3 + 4 * 5 * 0.1 + 2, 9);
  const [planned] = (await planStudy(study({ vary: { maxSteps: [13] } }))).configurations;
  expect(planned!.length.epochs).toBe(13 / Math.ceil(planned!.length.examples / planned!.length.batchSize));

  const known = { ...timing, start: 4, step: 3, evaluated: 0.1, workLeft: 0.5 };
  // Twelve epochs of five steps at half their work, thirteen evaluations of five examples, the start, and the end at half of it.
  expect(secondsOf(known)).toBeCloseTo(4 + 12 * 5 * 3 * 0.5 + 13 * 5 * 0.1 + 2, 9);
  // Epochs of the run are not those of the sample of steps that is timed.
  const evenly = {
    ...options,
    model: twoBlocks,
    validation: undefined,
    epochs: 12,
    seed: 1,
    batchSize: 4,
    freezeBlocks: "linear",
  };
  const [share, epochs] = [
    await timeRun({ ...evenly, freezeBlocksEarliest: "50%" }),
    await timeRun({ ...evenly, freezeBlocksEarliest: "6epochs" }),
  ];
  expect(share.workLeft).toBeLessThan(0.9);

  const shards = new ShardTimes();
  await timeRun({ ...options, validation: undefined, epochs: 1, seed: 1, tokenBudget: 24 }, undefined, shards);
  const found = estimateWorkers(warm(shards.steps), 1, { workers: 2, network: 100 });
  expect(found.shards).toBeGreaterThan(1);
  // Each micro-batch gives a gradient of each number that trains.
  expect(found.returned).toBeGreaterThan(found.shards * found.values);
  expect(found.step).toBeGreaterThan(0);

  const rounds = new ShardTimes();
  const apart = { ...options, validation: undefined, epochs: 1, seed: 1, localSteps: 4, replicas: 2, method: "lora" };
  await timeRun(apart, undefined, rounds);
  const local = estimateWorkers(warm(rounds.steps), 1, { workers: 2, network: 100 });
  expect(local.shards).toBe(2);
  // Of a round of four steps each has its share: what trains goes out once, and comes back from each replica.
  expect(local.returned).toBeGreaterThan(2 * local.values);
  expect(rounds.steps.length).toBe(5);
  expect(epochs.workLeft).toBeCloseTo(share.workLeft, 1);

  // A part that pauses has neither the end nor the evaluation before the first step; 20 examples after the end need the model again.
  expect(secondsOf(known, 20, { from: 4, to: 8 })).toBeCloseTo(4 + 4 * 5 * 3 * 0.5 + 4 * 5 * 0.1, 9);
  expect(secondsOf(known, 20, { from: 8 })).toBeCloseTo(4 + 4 * 5 * 3 * 0.5 + 4 * 5 * 0.1 + 2 + 4 + 2, 9);
});

describe("aflora study", () => {
  const flags = () => flagsOf(options);

  test("--dry-run lists trials with their time, and writes nothing", async () => {
    const { code, stdout, stderr } = await afloraHere(
      ["study", "--vary", "rank=2,4", "--seeds", "1,2", "--dry-run", ...flags(), "--output", "dry"],
      folder,
    );
    expect(stderr).toContain("timing a few steps: rank 2");
    expect(stdout).toMatch(/2 configurations × 2 seeds = 4 trials/);
    expect(stdout).toMatch(/about (\d+ min )?\d+(\.\d)? s on this machine/);
    expect(code).toBe(0);
    expect(existsSync(join(folder, "dry"))).toBe(false);
  });

  test("a study file gives the tables, the report and the trials' adapters, without their checkpoints", async () => {
    const file = join(folder, "ranks.yaml");
    await writeFile(
      file,
      `title: Ranks\noptions: ${JSON.stringify({ ...options, method: "lora", epochs: 1 })}\nvary:\n  rank: [2, 4]\nseeds: [1]\n`,
    );
    const { code, stdout, stderr } = await aflora(["study", file, "--json"], folder);
    expect(code, stderr).toBe(0);
    const { tasks, trials, title } = JSON.parse(stdout);
    expect(title).toBe("Ranks");
    expect(trials.map(({ status }: { status: string }) => status)).toEqual(["finished", "finished"]);
    expect(tasks[0].reportedSeparately).toBe(true);
    for (const name of ["study.md", "study.json", "study.csv", "report.html"]) {
      expect(existsSync(join(folder, "runs/ranks", name))).toBe(true);
    }
    const kept = await readdir(join(folder, "runs/ranks/trials"), { recursive: true });
    expect(kept.filter((name) => name.endsWith("adapter.safetensors"))).toHaveLength(2);
    expect(kept.filter((name) => name.includes("step-"))).toEqual([]);
  });

  test.each<[string, string[], RegExp]>([
    [
      "a factor that no option has",
      ["--vary", "betta1=1,2"],
      /factor "betta1": no option has this name; did you mean "beta1"/,
    ],
    ["no factor", [], /nothing varies/],
    [
      "a flag of what varies",
      ["--vary", "rank=2,4", "--rank", "8"],
      /varies rank: .* --vary rank=…, or leave --rank out/,
    ],
    [
      "trials that cannot work",
      ["--vary", "rank=2,64", "--method", "psoft"],
      /1 of 2 configurations cannot work: rank 64/,
    ],
  ])("%s: one sentence, exit code 2, nothing written", async (_, args, message) => {
    expectRefusal(await afloraHere(["study", ...args, ...flags(), "--output", "bad"], folder), message);
    expect(existsSync(join(folder, "bad"))).toBe(false);
  });
});
