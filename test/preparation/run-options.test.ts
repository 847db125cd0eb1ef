import { expect, test } from "vitest";
import { flatOptions, namedTaskOf, resolveConfig } from "../../src/preparation/run-options-node.ts";

test.each<[Record<string, string>, object, string | undefined]>([
  [{ task: "STS-B", data: "glue" }, { task: "stsb", data: "glue" }, "stsb"],
  [{ train: "own.csv", validation: "held.csv" }, { train: "own.csv", validation: "held.csv" }, undefined],
  [{ dataset: "nyu-mll/glue", datasetConfig: "cola" }, { dataset: "nyu-mll/glue", datasetConfig: "cola" }, "cola"],
  [{ dataset: "owner/reviews", datasetConfig: "cola" }, { dataset: "owner/reviews", datasetConfig: "cola" }, undefined],
])("examples of %j", (given, source, task) => {
  const config = resolveConfig(given);
  expect(config.source).toEqual(source);
  expect(namedTaskOf(config.source)).toBe(task);
});

test("options of the run, its data and its method are told apart, and lie side by side again as they were given", () => {
  const given = {
    method: "lora",
    rank: 2,
    train: "own.csv",
    epochs: 3,
    learningRate: 1e-3,
    targetModules: "query,value",
  };
  const config = resolveConfig(given);
  expect(config.run).toMatchObject({ epochs: 3, learningRate: 1e-3, headLearningRate: 4e-4, batchSize: 64 });
  const untouched = {
    alpha: 16,
    useRslora: false,
    useDora: false,
    initLoraWeights: "kaiming",
    freezeA: false,
    loraplusLrRatio: 1,
  };
  expect(config.method).toEqual({
    name: "lora",
    options: { rank: 2, ...untouched, targetModules: ["query", "value"] },
  });
  expect(flatOptions(config)).toMatchObject({ ...given, targetModules: ["query", "value"] });
  expect(resolveConfig(flatOptions(config))).toEqual(config);
});

test("a preset's options yield to those that are given, and what is saved comes back", () => {
  const given = { task: "gsm8k", data: "gsm8k", preset: "paper" };
  const config = resolveConfig(given);
  expect(resolveConfig(flatOptions(config))).toEqual(config);
  const own = resolveConfig({ ...given, batchSize: 4, rank: 8, promptTemplate: "chat" });
  expect([own.run.batchSize, own.run.epochs, own.method.options.rank]).toEqual([4, 3, 8]);
  expect(own.run.taskOptions).toEqual({ lossOn: "all", promptTemplate: "chat" });
});

test("the paper's freezing schedule comes with its preset: one epoch before the first matrix, 70 % with all frozen", () => {
  const scheduleOf = (given: object) => {
    const { freezeCurve, freezeInitial, freezeFinal } = resolveConfig({ data: "glue", ...given }).method.options;
    return [freezeCurve, freezeInitial, freezeFinal];
  };
  expect(scheduleOf({ task: "cola", preset: "paper" })).toEqual(["cubic", "5%", "70%"]);
  expect(scheduleOf({ task: "sst2", preset: "paper" })).toEqual(["cubic", "10%", "70%"]);
  expect(scheduleOf({ task: "cola", preset: "paper", freezeFinal: "30%" })).toEqual(["cubic", "5%", "30%"]);
  expect(scheduleOf({ task: "cola", method: "aflora" })).toEqual(["quadratic", "20%", "30%"]);
});

test.each<[Record<string, string>, string]>([
  [
    { task: "gsm8k", data: "gsm8k", preset: "paper", method: "psoft" },
    'option "preset" paper: no settings are published for gsm8k with method "psoft"; leave it out',
  ],
  [
    { train: "own.csv", preset: "paper", method: "full" },
    'option "preset" paper: no settings are published for examples of your own',
  ],
  [{ train: "own.csv", data: "glue" }, 'option "data" requires option "task"; add it, or leave option "data" out'],
  [{ task: "cola" }, 'where are the files of task "cola"? Give their folder with option "data" DIR'],
])("refused: %j", (given, message) => {
  expect(() => resolveConfig(given)).toThrow(message);
});
