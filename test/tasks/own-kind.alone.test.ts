import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { registerTaskKind } from "../../src/extend.ts";
import { evaluateRun, fineTune, loadFineTunedModel, readRunRecords } from "../../src/index.ts";
import { lowerIsBetter } from "../../src/tasks/metrics/metric-direction.ts";
import { runtime } from "../support/runtime.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";
import { ordinalRegression } from "./ordinal-regression.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-own-kind-"));
});
afterAll(() => rm(home, { recursive: true }));

/** The first letter determines the level; the rest is irrelevant. */
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => {
    const level = (from + i) % 3;
    return `${"amz"[level]!.repeat(3)} ${"bcdefgh"[(from + i) % 7]!.repeat(2)},${level * 10}\n`;
  }).join("");

test("a registered kind trains, evaluates, predicts, is saved and loaded", async () => {
  const model = await writeTinyFamily(join(home, "bert"), "bert-1", { blocks: 1 });
  const [train, validation] = [join(home, "train.csv"), join(home, "dev.csv")];
  await writeFile(train, `text,label\n${lines(0, 48)}`);
  await writeFile(validation, `text,label\n${lines(48, 66)}`);
  const output = join(home, "run");
  const config = { model, train, validation, kind: "ordinal-regression", epochs: 15, output } as const;
  const settings = {
    method: "lora",
    // A fitted head would leave nothing to learn.
    headStart: "new",
    batchSize: 8,
    learningRate: 0.02,
    headLearningRate: 0.02,
    maxGradNorm: 1,
    threads: 1,
  } as const;
  await expect(fineTune({ ...config, ...settings })).rejects.toThrow(/option "kind": unknown task kind/);

  registerTaskKind(ordinalRegression);
  const { result } = await fineTune({ ...config, ...settings });
  const { mean_absolute_error: error } = result!.metrics;
  expect(error).toBeLessThan(0.1);
  // The best epoch has the lowest error.
  expect(lowerIsBetter("mean_absolute_error")).toBe(true);
  // A split's name may make one metric look like another: the longer name counts.
  const accuracy_error = { ...ordinalRegression.metrics.mean_absolute_error!, higherIsBetter: false };
  registerTaskKind({ ...ordinalRegression, name: "other-ordinal-regression", metrics: { accuracy_error } });
  expect(lowerIsBetter("accuracy_error_dev")).toBe(true);
  const { evaluations } = await readRunRecords(output);
  const errors = evaluations.map(({ metrics }) => metrics.mean_absolute_error!);
  expect(errors[0]).toBeGreaterThan(error!);
  expect(error).toBe(Math.min(...errors.slice(1)));

  const [evaluation] = await evaluateRun(output, { threads: 1 });
  expect(evaluation).toEqual({
    split: "validation",
    examples: 18,
    labels: ["0", "10", "20"],
    metrics: { mean_absolute_error: error },
    // The error is the same if any one example is left out.
    errors: {},
  });

  const { task } = JSON.parse(await readFile(join(output, "adapter", "adapter.json"), "utf8"));
  expect(task).toEqual({
    name: "custom",
    kind: "ordinal-regression",
    labels: ["0", "10", "20"],
    metrics: ["mean_absolute_error"],
  });
  const tuned = await loadFineTunedModel(output, runtime);
  const predictions = await tuned.predict(["aaa bb", "zzz bb"]);
  await tuned.release();
  expect(predictions).toEqual([
    { level: "0", above: [expect.any(Number), expect.any(Number)] },
    { level: "20", above: [expect.any(Number), expect.any(Number)] },
  ]);
  expect(predictions.map((prediction) => tuned.kind.lineOf(prediction))).toEqual(["0", "20"]);
});
