import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../src/base-models/adapter.ts";
import { fitAdapter } from "../../src/base-models/fitted-adapter.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { exportAdapter } from "../../src/export/export-adapter-node.ts";
import { diskFolder } from "../../src/export/output-folder-node.ts";
import { loraForm, writePeftFolder } from "../../src/export/peft/write.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import type { Adaptation } from "../../src/methods/method.ts";
import { pictureModel } from "../support/pictures.ts";
import { runtime } from "../support/runtime.ts";
import { soundModel } from "../support/sounds.ts";
import { EXAMPLES, LOW_RANK, ON_GPT2, tinyAdapter, WRITING } from "../support/tiny-adapter.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/exports/", import.meta.url));
let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-peft-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

/** Writes a folder for PEFT, and requires that it is the one that peft was given. @returns what was exported */
async function written(
  from: string,
  label: string,
  [method, options, as]: (typeof LOW_RANK)[string],
  task?: Adapter["description"]["task"],
): Promise<Awaited<ReturnType<typeof tinyAdapter>>> {
  const tiny = await tinyAdapter(from, method, options, task);
  const { base, adapter } = tiny;
  const output = join(directory, label);
  const fixture = join(FIXTURES, label);
  const report = await exportAdapter(base, adapter, { format: "peft", output, as }, runtime, EXAMPLES);
  expect(report.largestDifference).toBeLessThan(1e-5);
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

  return tiny;
}

/** What our own model says of the texts. */
async function saidBy({ base, adapter }: Awaited<ReturnType<typeof tinyAdapter>>): Promise<Float32Array[]> {
  const tuned = await FineTunedModel.adapt(base, adapter, runtime);
  const logits = await tuned.logits(EXAMPLES);
  await tuned.release();
  return logits;
}

describe("adapters for PEFT, as peft itself computed them (oracle/check_peft_export.py)", () => {
  test.each(Object.entries(LOW_RANK))("%s", async (label, given) => {
    const logits = await saidBy(await written(model, label, given));
    const fixture = join(FIXTURES, label);
    const peft: { logits: number[] }[] = readJson(join(fixture, "logits.json")).examples;
    expect(peft).toHaveLength(32);
    peft.forEach((row, i) => {
      row.logits.forEach((logit, j) => {
        expect(Math.abs(logit - logits[i]![j]!), `text ${i}`).toBeLessThan(1e-4);
      });
    });
  });
});

describe("adapters of a language model with transposed weights, as peft itself computed them", () => {
  test.each(Object.entries(ON_GPT2))("%s", async (label, given) => {
    const gpt2 = await writeTinyFamily(join(directory, `${label}-model`), "gpt2-1");
    // Of each token after the first its log-probability, and whether it is the likeliest.
    const found = await saidBy(await written(gpt2, label, given, WRITING));
    const peft: { logProbabilities: number[] }[] = readJson(join(FIXTURES, label, "logits.json")).examples;
    expect(peft).toHaveLength(32);
    peft.forEach(({ logProbabilities }, i) => {
      // Of a pair the second text alone counts.
      if (EXAMPLES[i]!.textPair !== undefined) return;
      expect(found[i]).toHaveLength(2 * logProbabilities.length);
      logProbabilities.forEach((value, j) => {
        expect(Math.abs(value - found[i]![2 * j]!), `text ${i}`).toBeLessThan(1e-4);
      });
    });
  });
});

describe("adapters that PEFT cannot hold", () => {
  test.each([
    ["full", {}, undefined, /"full" does not make an adapter/],
    ["head", {}, undefined, /"head" does not make an adapter/],
    ["vera", { rank: 64, sharing: "shape" }, undefined, /rank 64 exceeds that of layer .*option "sharing" sliced/],
    ["lora", { rank: 2 }, "lora", /option "as" lora is for adapters such as AdaLoRA's/],
  ] as const)("%s %j", async (method, options, as, message) => {
    const { base, adapter } = await tinyAdapter(model, method, options);
    const output = join(directory, "refused");
    await expect(exportAdapter(base, adapter, { format: "peft", output, as }, runtime, EXAMPLES)).rejects.toThrow(
      message,
    );
    expect(existsSync(output)).toBe(false);
  });
});

test("the README loads the base model with as many labels, or from its file in GGUF", async () => {
  const readmeOf = async (name: string, from: string, task?: Adapter["description"]["task"]): Promise<string> => {
    const { base, adapter } = await tinyAdapter(from, "lora", { rank: 2 }, task);
    const output = join(directory, name);
    await exportAdapter(base, adapter, { format: "peft", output }, runtime, EXAMPLES.slice(0, 4));
    return readFileSync(join(output, "README.md"), "utf8");
  };
  expect(await readmeOf("labels", model)).toContain(
    'AutoModelForSequenceClassification.from_pretrained("tiny", num_labels=3)\n',
  );
  const folder = fileURLToPath(new URL("../fixtures/gguf", import.meta.url));
  expect(await readmeOf("in-gguf", join(folder, "llama.gguf"), WRITING)).toContain(
    `AutoModelForCausalLM.from_pretrained(${JSON.stringify(folder)}, gguf_file="llama.gguf")\n`,
  );
});

describe("the README for a model of files", () => {
  const LABELLED: Partial<Adapter["description"]["task"]> = { labels: ["bad", "good", "odd"], features: "mean" };
  const readmeOf = async (from: string, kind: string, own = {}): Promise<string> => {
    const task = { name: "custom", kind, labels: [], metrics: ["accuracy"], ...own };
    const { base, adapter } = await tinyAdapter(from, "lora", { rank: 2 }, task);
    const fitted = fitAdapter(base, adapter);
    const output = join(directory, kind);
    await writePeftFolder(diskFolder(output), base, fitted, fitted.parameters);
    return readFileSync(join(output, "README.md"), "utf8");
  };

  test("reads a picture or a sound", async () => {
    const picture = await readmeOf(pictureModel("vit"), "image-classification", LABELLED);
    expect(picture).toContain('inputs = processor(Image.open("picture.jpg")');
    expect(picture).not.toContain("soundfile");
    const sound = await readmeOf(soundModel("wav2vec2"), "audio-classification", LABELLED);
    expect(sound).toContain('samples, rate = soundfile.read("sound.wav"');
    expect(sound).not.toContain("PIL");
  });

  test("computes labels with a head, and vectors without one", async () => {
    const labels = await readmeOf(pictureModel("vit"), "image-classification", LABELLED);
    expect(labels).toContain('logits = hidden.mean(1) @ head["linear.weight"].T + head["linear.bias"]');
    const vectors = await readmeOf(pictureModel("vit"), "image-embedding");
    expect(vectors).toMatch(/^vector = hidden/m);
    expect(vectors).not.toContain("2_Dense");
  });
});

test("the configuration has the base model's revision, if one was named", async () => {
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const fitted = fitAdapter(base, adapter);
  const output = join(directory, "revision");
  await writePeftFolder(diskFolder(output), { ...base, revision: "v1.5" }, fitted, fitted.parameters);
  expect(readJson(join(output, "adapter_config.json")).revision).toBe("v1.5");
});

test("a method's layers may differ in rank alone", async () => {
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2, alpha: 4 });
  const { adaptation, parameters } = fitAdapter(base, adapter);
  const layers = adaptation.modules.map((module) => ({ module, moduleName: module.name }));
  const asLora: Adaptation["asLora"] = (module, values) => ({
    ...adaptation.asLora!(module, values),
    rank: module.block + 1,
  });
  const { config } = loraForm({ ...adaptation, asLora }, layers, parameters)!;
  const first = layers.filter(({ module }) => module.block === 0).map(({ moduleName }) => moduleName);
  expect(config).toMatchObject({
    r: 2,
    lora_alpha: 4,
    rank_pattern: Object.fromEntries(first.map((name) => [name, 1])),
    alpha_pattern: Object.fromEntries(first.map((name) => [name, 4])),
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
