import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluateRun, FineTunedModel, fineTune, nodeRuntime, readRunRecords, writeReport } from "../../src/index.ts";
import { writeTinyModel } from "../support/tiny-model.ts";

const RUNS = fileURLToPath(new URL("../fixtures/runs/", import.meta.url));
/** Where the runs lay when they were written. */
const ORIGINAL_HOME = "/home/user/tickets";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-older-"));
  await writeTinyModel(join(home, "model"));
  await cp(RUNS, home, { recursive: true });
  for (const file of [
    "finished/config.json",
    "finished/adapter/adapter.json",
    "cut-off/config.json",
    "cut-off-adalora/config.json",
  ]) {
    const text = await readFile(join(home, file), "utf8");
    await writeFile(join(home, file), text.replaceAll(ORIGINAL_HOME, home.replaceAll("\\", "/")));
  }
});
afterAll(() => rm(home, { recursive: true }));

const readJson = async (file: string) => JSON.parse(await readFile(join(RUNS, file), "utf8"));

test("an older run's records are read and shown, and its adapter gives the logits that it gave then", async () => {
  const run = join(home, "finished");
  const { steps, freezing, evaluations, result, config } = await readRunRecords(run);
  expect([steps.length, freezing.length, evaluations.length]).toEqual([15, 3, 4]);
  expect(config.method).toMatchObject({ name: "aflora", options: { rank: 2 } });
  const page = join(home, "report.html");
  await writeReport([run], page);
  expect(await readFile(page, "utf8")).toContain("encoder.layer.0.intermediate.dense.A last (step 4)");

  const { texts, logits } = await readJson("logits.json");
  const model = await FineTunedModel.load(run, nodeRuntime({ threads: 1 }));
  const found = await model.logits(texts.map((text: string, index: number) => ({ index, text })));
  await model.release();
  found.forEach((row, i) => {
    row.forEach((logit, j) => {
      expect(logit, texts[i]).toBeCloseTo(logits[i][j], 5);
    });
  });
  const [evaluation] = await evaluateRun(run, { threads: 1 });
  expect(evaluation!.metrics).toMatchObject(result!.metrics);
});

test.each(["cut-off", "cut-off-adalora"])("an older run that was cut off goes on: %s", async (name) => {
  const output = join(home, name);
  const { result } = await fineTune({ output }, { resume: true });
  expect(result).toMatchObject({ steps: 15, epochs: 3 });
  const { steps, evaluations } = await readRunRecords(output);
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 15 }, (_, step) => step));
  expect(evaluations.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3]);
  // As that version went on, but for rounding, dropout and all.
  const losses: number[] = (await readJson("losses.json"))[name];
  steps.slice(9).forEach(({ loss }, i) => {
    expect(loss).toBeCloseTo(losses[i]!, 4);
  });
});
