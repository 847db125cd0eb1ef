import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { EvaluationRecord } from "../../src/training/training-records.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";
import { tickets, writeCsv } from "../support/tiny-model.ts";

const PEFT_LORA = fileURLToPath(new URL("../fixtures/peft/lora/", import.meta.url));
let directory: string;
let model: string;
let train: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-continue-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1");
  train = await writeCsv(join(directory, "tickets.csv"), tickets(1));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const options = (output: string, more: object) => ({
  train,
  validation: train,
  text: "message",
  label: "team",
  epochs: 1,
  threads: 1,
  maxLength: 32,
  output: join(directory, output),
  ...more,
});

test("training can start from a LoRA made by peft: its arrays, scale and head", async () => {
  // A learning rate too small to move anything: what is saved is what training started from.
  const given = options("peft", { adapter: PEFT_LORA, model, learningRate: 1e-30, headLearningRate: 1e-30 });
  await fineTune(given);
  const { description, parameters } = await loadAdapter(join(directory, "peft", "adapter"));
  expect(description).toMatchObject({ method: "lora", methodOptions: { rank: 4, alpha: 8 }, model });
  const source = await openSafetensorsFile(join(PEFT_LORA, "adapter_model.safetensors"));
  const layer = "encoder.layer.1.attention.self.query";
  const read = (name: string) => source.read(`base_model.model.${name}`);
  expect(parameters.get(`${layer}.A`)).toEqual(await read(`bert.${layer}.lora_A.weight`));
  expect(parameters.get(`${layer}.B`)).toEqual(await read(`bert.${layer}.lora_B.weight`));
  // Of which the temperature is taken, as of every head that is saved.
  const bias = await read("classifier.bias");
  expect(parameters.get("classifier.bias")!.data).toEqual(bias.data.map((value) => value / description.temperature!));
});

test("training can start from the best epoch of another run", async () => {
  const first = options("first", { model, method: "aflora", rank: 2, learningRate: 1e-2 });
  await fineTune(first);
  const before: EvaluationRecord[] = [];
  const again = options("again", { adapter: join(directory, "first") });
  await fineTune(again, {
    onEvent: on("evaluation", (record) => {
      before.push(record);
    }),
  });
  const evaluations: EvaluationRecord[] = [];
  await fineTune(
    { ...first, output: join(directory, "same") },
    { onEvent: on("evaluation", (record) => void evaluations.push(record)) },
  );
  // Epoch 0 is the model before the first step.
  expect(before[0]!.epoch).toBe(0);
  expect(before[0]!.loss).toBeCloseTo(evaluations.at(-1)!.loss, 5);
  expect((await loadAdapter(join(directory, "again", "adapter"))).description).toMatchObject({
    method: "aflora",
    methodOptions: { rank: 2 },
  });
});

test.each([
  [{ method: "sora" }, /the adapter in .* has method lora, not sora; leave the option out/],
  [{ rank: 8 }, /has rank 4, not 8/],
  [{ headFeatures: "mean" }, /the head of the adapter in .* reads headFeatures family, not mean; leave the option out/],
  [{ adapter: "nowhere" }, /nowhere is not an adapter folder/],
])("refused, and nothing written: %j", async (more, message) => {
  const given = options("refused", { adapter: PEFT_LORA, model, ...more });
  await expect(fineTune(given)).rejects.toThrow(message);
  await expect(loadAdapter(join(directory, "refused"))).rejects.toThrow(/is not an adapter folder/);
});
