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

test("the paper's recipe of GSM8K: what is given wins, and what is saved comes back", () => {
  const given = { task: "gsm8k", data: "gsm8k", preset: "paper" };
  const config = resolveConfig(given);
  expect(config.run).toMatchObject({
    epochs: 3,
    batchSize: 1,
    learningRate: 2e-3,
    maxLength: 256,
    taskOptions: { lossOn: "all" },
    warmupSteps: 100,
    evaluateEvery: 80,
  });
  expect(config.method.options).toMatchObject({
    rank: 32,
    alpha: 64,
    adapterDropout: 0.05,
    targetModules: ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
    attentionMatrices: "adaptive",
    ffnMatrices: "adaptive",
    freezeCurve: "quadratic",
    freezeInitial: "30%",
    freezeFinal: "30%",
    beta1: 0.85,
    beta2: 0.95,
  });
  expect(resolveConfig(flatOptions(config))).toEqual(config);
  const own = resolveConfig({ ...given, batchSize: 4, rank: 8 });
  expect([own.run.batchSize, own.run.epochs, own.method.options.rank]).toEqual([4, 3, 8]);
  // Of a classifier's head the matrix alone trains.
  const cola = resolveConfig({ task: "cola", data: "glue", preset: "paper" });
  expect(cola.run).toMatchObject({ epochs: 20, batchSize: 64, headLearningRate: 4e-2, head: "classifier" });
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
    { task: "gsm8k", data: "gsm8k", preset: "paper", method: "lora" },
    'option "preset" paper: no settings are published for gsm8k with method "lora", only for cola, sst2,',
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
