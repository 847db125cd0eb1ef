import { expect, test } from "vitest";
import { flatOptions, glueTaskOf, resolveConfig } from "../../src/runs/run-config.ts";

test.each<[Record<string, string>, object, string | undefined]>([
  [{ task: "STS-B", data: "glue" }, { task: "stsb", data: "glue" }, "stsb"],
  [{ train: "own.csv", validation: "held.csv" }, { train: "own.csv", validation: "held.csv" }, undefined],
  [{ dataset: "nyu-mll/glue", datasetConfig: "cola" }, { dataset: "nyu-mll/glue", datasetConfig: "cola" }, "cola"],
  [{ dataset: "owner/reviews", datasetConfig: "cola" }, { dataset: "owner/reviews", datasetConfig: "cola" }, undefined],
])("examples of %j", (given, source, task) => {
  const config = resolveConfig(given);
  expect(config.source).toEqual(source);
  expect(glueTaskOf(config.source)).toBe(task);
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
  expect(config.method).toEqual({ name: "lora", options: { rank: 2, alpha: 16, targetModules: ["query", "value"] } });
  expect(flatOptions(config)).toMatchObject({ ...given, targetModules: ["query", "value"] });
  expect(resolveConfig(flatOptions(config))).toEqual(config);
});

test.each<[Record<string, string>, string]>([
  [{ train: "own.csv", data: "glue" }, 'option "data" goes with "task", which is not given; leave it out'],
  [{ task: "cola" }, 'where are the files of task "cola"? Give their folder with --data DIR'],
])("refused: %j", (given, message) => {
  expect(() => resolveConfig(given)).toThrow(message);
});
