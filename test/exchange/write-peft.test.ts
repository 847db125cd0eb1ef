import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { exportAdapter } from "../../src/exchange/export-adapter-node.ts";
import { FineTunedModel } from "../../src/runs/load-fine-tuned-model.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { writeTinyFamily } from "../runs/tiny-family.ts";
import { EXAMPLES, LOW_RANK, tinyAdapter } from "./tiny-adapter.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/exports/", import.meta.url));
const runtime = nodeRuntime({ threads: 1 });
let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-peft-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

describe("adapters for PEFT, as peft itself computed them (oracle/check_peft_export.py)", () => {
  test.each(Object.entries(LOW_RANK))("%s", async (label, [method, options, as]) => {
    const { base, adapter } = await tinyAdapter(model, method, options);
    const output = join(directory, label);
    const fixture = join(FIXTURES, label);
    const report = await exportAdapter(base, adapter, { format: "peft", output, as }, runtime, EXAMPLES);
    expect(report.largestDifference).toBeLessThan(1e-5);

    // The folder is the one that peft was given.
    expect(readJson(join(output, "adapter_config.json"))).toEqual(readJson(join(fixture, "adapter_config.json")));
    const [written, stored] = await Promise.all(
      [output, fixture].map((folder) => openSafetensorsFile(join(folder, "adapter_model.safetensors"))),
    );
    expect([...written!.tensors.keys()].sort()).toEqual([...stored!.tensors.keys()].sort());
    for (const [name, { shape }] of stored!.tensors) {
      expect(written!.tensors.get(name)!.shape, name).toEqual(shape);
      const values = (await stored!.read(name)).data;
      (await written!.read(name)).data.forEach((value, i) => {
        expect(Math.abs(value - values[i]!)).toBeLessThan(1e-6);
      });
    }

    const tuned = await FineTunedModel.adapt(base, adapter, runtime);
    const logits = await tuned.logits(EXAMPLES);
    await tuned.release();
    const peft: { logits: number[] }[] = readJson(join(fixture, "logits.json")).examples;
    expect(peft).toHaveLength(32);
    peft.forEach((row, i) => {
      row.logits.forEach((logit, j) => {
        expect(Math.abs(logit - logits[i]![j]!), `text ${i}`).toBeLessThan(1e-4);
      });
    });
  });
});

describe("what PEFT has no place for", () => {
  test.each([
    ["full", {}, undefined, /"full" leaves no adapter/],
    ["head", {}, undefined, /"head" leaves no adapter/],
    ["elora", { rank: 64, sharing: "shape" }, undefined, /rank 64 is more than layer .*--sharing sliced/],
    ["lora", { rank: 2 }, "lora", /--as lora is for adapters that PEFT has another form for/],
  ] as const)("%s %j", async (method, options, as, message) => {
    const { base, adapter } = await tinyAdapter(model, method, options);
    const output = join(directory, "refused");
    await expect(exportAdapter(base, adapter, { format: "peft", output, as }, runtime, EXAMPLES)).rejects.toThrow(
      message,
    );
    expect(existsSync(output)).toBe(false);
  });
});

test("token classification: the head and the task's type", async () => {
  const task = { name: "tags", kind: "token-classification", labels: ["O", "B-X", "I-X"], metrics: ["f1"] } as const;
  const { base, adapter } = await tinyAdapter(
    model,
    "aflora",
    { rank: 2 },
    { ...task, labels: [...task.labels], metrics: ["f1"] },
  );
  const output = join(directory, "tokens");
  const words = EXAMPLES.map((example) => ({ ...example, words: example.text.split(" ").filter(Boolean) }));
  const report = await exportAdapter(base, adapter, { format: "peft", output }, runtime, words);
  expect(report.largestDifference).toBeLessThan(1e-5);
  expect(readJson(join(output, "adapter_config.json"))).toMatchObject({ task_type: "TOKEN_CLS" });
});
