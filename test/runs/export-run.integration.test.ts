import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";

let directory: string;
let run: string;
let train: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-export-"));
  const model = await writeTinyFamily(join(directory, "model"), "bert-1", { blocks: 1 });
  train = await writeCsv(join(directory, "tickets.csv"), tickets(1));
  run = join(directory, "run");
  const columns = { text: "message", label: "team" };
  await fineTune({
    model,
    train,
    validation: train,
    ...columns,
    epochs: 2,
    threads: 1,
    learningRate: 1e-2,
    // Transformers' own head, so that its classes and PEFT's read what is written.
    headFeatures: "family",
    output: run,
  });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("a run's adapter in PEFT's format gives the same predictions", async () => {
  const output = join(directory, "peft");
  const report = await exportRun(run, { format: "peft", output }, { threads: 1 });
  expect(report).toMatchObject({ format: "peft", directory: output, comparedTexts: 15 });
  expect(report.largestDifference).toBeLessThan(1e-5);
  expect(Object.keys(report.files).sort()).toEqual(["README.md", "adapter_config.json", "adapter_model.safetensors"]);

  const own = await loadFineTunedModel(run);
  const read = await loadFineTunedModel(output);
  const [expected] = await own.predict(["my parcel is late"]);
  const [found] = await read.predict(["my parcel is late"]);
  await own.release();
  await read.release();
  // PEFT keeps no names of labels.
  const probabilities = (prediction: typeof expected) => prediction!.labels!.map(({ probability }) => probability);
  probabilities(found).forEach((probability, i) => {
    expect(probability).toBeCloseTo(probabilities(expected)[i]!, 5);
  });
});

test("an empty folder is accepted; built-in texts replace missing ones, with a note", async () => {
  const moved = `${train}.moved`;
  await writeCsv(moved, tickets(1));
  await unlink(train);
  const output = join(directory, "empty");
  await mkdir(output);
  const report = await exportRun(run, { format: "onnx", dtype: "q8", output }, { threads: 1 });
  expect(report.comparedTexts).toBeGreaterThan(4);
  expect(report.notes[0]).toMatch(
    /^compared on built-in sentences: .*tickets\.csv is missing, which held the data that the run in .* began with/,
  );
  expect(report.quantized!.largestDifference).toBeGreaterThan(0);
  expect(existsSync(join(output, "onnx", "model_quantized.onnx"))).toBe(true);
  await writeCsv(train, tickets(1));

  // The exported folder, and each file in it, answers like the run.
  const files = [run, output, join(output, "onnx", "model_quantized.onnx")];
  const answers = [];
  for (const file of files) {
    const model = await loadFineTunedModel(file, { threads: 1 });
    answers.push((await model.predict("my parcel is late")).labels![0]!);
    await model.release();
  }
  const [expected, exported, rounded] = answers;
  expect(exported!.label).toBe(expected!.label);
  expect(exported!.probability).toBeCloseTo(expected!.probability, 5);
  expect(rounded!.probability).toBeCloseTo(expected!.probability, 1);
});

test("changed texts are replaced in the comparison, with a note", async () => {
  await writeCsv(train, tickets(2));
  const report = await exportRun(run, { format: "peft", output: join(directory, "changed") }, { threads: 1 });
  expect(report).toMatchObject({
    comparedTexts: 8,
    notes: [expect.stringMatching(/tickets\.csv is not the data that the run/)],
  });
  await writeCsv(train, tickets(1));
  const again = await exportRun(run, { format: "peft", output: join(directory, "restored") }, { threads: 1 });
  expect(again.comparedTexts).toBe(15);
  expect(again.notes).toEqual([]);
});

test.each([
  ["nowhere", { format: "merged" }, /nowhere is not a run folder/],
  ["run", { format: "merged", dtype: "q8" }, /option "dtype" belongs to onnx, not to export format "merged"/],
  ["run", { format: "onnx", as: "lora" }, /option "as" belongs to peft, not to export format "onnx"/],
  ["run", { format: "peft", as: "lora" }, /option "as" lora is for adapters such as AdaLoRA's/],
] as const)("refused, and nothing written: %s %j", async (name, options, message) => {
  const output = join(directory, "refused");
  await expect(exportRun(join(directory, name), { ...options, output })).rejects.toThrow(message);
  expect(existsSync(output)).toBe(false);
});

test("a run that is not finished is refused", async () => {
  await unlink(join(run, "result.json"));
  await expect(exportRun(run, { format: "merged", output: join(directory, "early") })).rejects.toThrow(
    /did not finish/,
  );
});
