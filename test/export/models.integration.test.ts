import { existsSync, readFileSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AutoModelForSequenceClassification, AutoTokenizer, env, pipeline } from "@huggingface/transformers";
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { loadGlueTask } from "../../src/datasets/glue-node.ts";
import { type ExportReport, exportAdapter, type OnStage } from "../../src/export/export-adapter-node.ts";
import { className } from "../../src/export/hugging-face.ts";
import { onnxFile } from "../../src/export/onnx/folder.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import type { Example } from "../../src/tasks/example.ts";
import { dot, unitVector } from "../../src/tasks/vectors.ts";
import { runtime } from "../support/runtime.ts";
import { EXAMPLES, tinyAdapter } from "../support/tiny-adapter.ts";
import { removeHead, writeTinyFamily } from "../support/tiny-family.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-models-"));
  // Transformers.js is to read these folders and nothing else.
  env.allowRemoteModels = false;
  env.localModelPath = directory;
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));

/**
 * Every way in which a family's graph differs: lengths that nobody feeds, no token types, embeddings of another size, the last
 * token's row, windows, layers that are stored transposed. Blocks are alike, apart from those of two models.
 */
const FAMILIES: [name: string, blocks?: number][] = [
  ["bert-1"],
  ["roberta-1"],
  ["distilbert-1"],
  ["electra-2"],
  ["mpnet-1"],
  ["deberta-v2-1"],
  ["deberta-v2-2"],
  ["modernbert-1", 2],
  ["llama-1"],
  ["gemma2-1", 2],
  ["gpt2-1"],
];

describe("merged and ONNX folders compute the same as the adapter on its base", () => {
  test.each(FAMILIES)("%s", async (family, blocks = 1) => {
    const model = await writeTinyFamily(join(directory, family), family, { blocks });
    const { base, adapter } = await tinyAdapter(model, "aflora", { rank: 3 });
    for (const format of ["merged", "onnx"] as const) {
      const output = join(directory, `${family}-${format}`);
      const report = await exportAdapter(base, adapter, { format, output }, runtime, EXAMPLES);
      expect(report.largestDifference, format).toBeLessThan(1e-5);
      expect(report.comparedTexts).toBe(32);
      expect(readJson(join(output, "config.json"))).toMatchObject({
        id2label: { 0: "bad", 1: "good", 2: "odd" },
        label2id: { bad: 0, good: 1, odd: 2 },
        problem_type: "single_label_classification",
      });
    }
  });

  test.each([
    ["sora", { rank: 4 }],
    ["lora", { rank: 3, useDora: true, initLoraWeights: "pissa" }],
    ["adalora", { rank: 2, initialRank: 4 }],
    ["lora-xs", { rank: 3 }],
    ["psoft", { rank: 3 }],
    ["vera", { rank: 40, sharing: "sliced" }],
    ["full", {}],
    ["head", {}],
  ] as const)("method %s", async (method, options) => {
    const model = await writeTinyFamily(join(directory, `base-${method}`), "bert-2", { blocks: 2 });
    const { base, adapter } = await tinyAdapter(model, method, options);
    for (const format of ["merged", "onnx"] as const) {
      const output = join(directory, `${format}-${method}`);
      const report = await exportAdapter(base, adapter, { format, output }, runtime, EXAMPLES);
      expect(report.largestDifference, format).toBeLessThan(1e-5);
    }
  });

  test("a regression's large values, whose rounding is far above that of probabilities", async () => {
    const model = await writeTinyFamily(join(directory, "prices"), "bert-1", { blocks: 1 });
    const task = { name: "price", kind: "regression" as const, labels: [], metrics: ["pearson" as const] };
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 }, task);
    const weight = adapter.parameters.get("classifier.weight")!.data;
    weight.set(weight.map((value) => 2 ** 20 * value));
    const output = join(directory, "prices-merged");
    const report = await exportAdapter(base, adapter, { format: "merged", output }, runtime, EXAMPLES);
    expect(report.largestDifference).toBeGreaterThan(1e-4);
    expect(report.largestDifference).toBeLessThan(10);
  });

  test("token labels", async () => {
    const model = await writeTinyFamily(join(directory, "tokens"), "bert-1", { blocks: 1 });
    const task = {
      name: "tags",
      kind: "token-classification" as const,
      labels: ["O", "B-X"],
      metrics: ["f1" as const],
    };
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 }, task);
    const words = EXAMPLES.map((example) => ({ ...example, words: example.text.split(" ").filter(Boolean) }));
    for (const format of ["merged", "onnx"] as const) {
      const output = join(directory, `tokens-${format}`);
      const report = await exportAdapter(base, adapter, { format, output }, runtime, words);
      expect(report.largestDifference).toBeLessThan(1e-5);
      expect(readJson(join(output, "config.json")).architectures).toEqual(["BertForTokenClassification"]);
    }
  });

  test("names are those of Transformers' classes, whatever the checkpoint's names", async () => {
    const model = await writeTinyFamily(join(directory, "bare"), "bert-1", { blocks: 1 });
    await removeHead(model, "bert");
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
    const output = join(directory, "bare-merged");
    await exportAdapter(base, adapter, { format: "merged", output }, runtime, EXAMPLES);
    const { tensors } = await openSafetensorsFile(join(output, "model.safetensors"));
    expect([...tensors.keys()]).toEqual(
      expect.arrayContaining(["bert.embeddings.LayerNorm.weight", "bert.pooler.dense.bias", "classifier.weight"]),
    );
    expect(className(base, "classification")).toBe("BertForSequenceClassification");
  });
});

test("numbers of config.json keep their decimal point, without which Transformers refuses some", async () => {
  const model = await writeTinyFamily(join(directory, "decimals"), "bert-1", { blocks: 1 });
  const path = join(model, "config.json");
  const settings = '"temperature": 2.0,\n  "beams": 4,\n  "other": {\n    "temperature": 3\n  },';
  await writeFile(path, readFileSync(path, "utf8").replace("{", `{\n  ${settings}`));
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const output = join(directory, "decimals-merged");
  await exportAdapter(base, adapter, { format: "merged", output }, runtime, EXAMPLES);
  expect(readFileSync(join(output, "config.json"), "utf8")).toContain(settings);
});

test("an export tells its stages, with the bytes to write and the seconds to wait", async () => {
  const model = await writeTinyFamily(join(directory, "told"), "bert-1", { blocks: 1 });
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const stages: Parameters<OnStage>[] = [];
  const options = { format: "merged", output: join(directory, "told-merged") } as const;
  const started = performance.now();
  const { files } = await exportAdapter(base, adapter, options, runtime, EXAMPLES, {
    onStage: (...told) => stages.push(told),
  });
  const seconds = (performance.now() - started) / 1000;
  expect(stages).toEqual([
    ["computing the outputs of the run's model"],
    ["writing merged", { bytes: expect.any(Number) }],
    ["comparing the export with the run's model", { seconds: expect.any(Number) }],
  ]);
  expect(stages[2]![1]!.seconds).toBeLessThan(seconds);
  // The file has a header, too.
  const share = stages[1]![1]!.bytes! / files["model.safetensors"]!;
  expect(share).toBeGreaterThan(0.9);
  expect(share).toBeLessThan(1);
});

describe("the report of an export in 4 bits", () => {
  /** Exports, and lets each of the two files compute. @returns the report, and what both computed */
  async function compared<Found>(
    name: string,
    { base, adapter }: Awaited<ReturnType<typeof tinyAdapter>>,
    examples: readonly Example[],
    compute: (model: FineTunedModel) => Promise<Found>,
  ): Promise<[report: ExportReport, whole: Found, rounded: Found]> {
    const output = join(directory, `${name}-q4`);
    const report = await exportAdapter(base, adapter, { format: "onnx", output, dtype: "q4" }, runtime, examples);
    const computedBy = async (type: "float32" | "q4"): Promise<Found> => {
      const model = await loadFineTunedModel(join(output, onnxFile("model", type)), runtime);
      const found = await compute(model);
      await model.release();
      return found;
    };
    return [report, await computedBy("float32"), await computedBy("q4")];
  }

  test("has the share of words that keep their label", async () => {
    const model = await writeTinyFamily(join(directory, "words"), "bert-1", { blocks: 1 });
    const task = { name: "tags", kind: "token-classification", labels: ["O", "B-X"], metrics: ["f1"] };
    const tiny = await tinyAdapter(model, "lora", { rank: 2 }, task);
    // Longer texts would be cut.
    const words = EXAMPLES.slice(0, 20).map((example) => ({
      ...example,
      words: example.text.split(" ").filter(Boolean),
    }));
    const [report, whole, rounded] = await compared("words", tiny, words, async (model) =>
      (await model.predictLabels(words)).flatMap(({ labels }) => labels!),
    );
    const share = rounded.filter((label, i) => label === whole[i]).length / whole.length;
    expect(share).toBeLessThan(1);
    expect(report.quantized!.sameLabel).toBe(share);
  });

  test("has the least cosine between the two vectors of a text", async () => {
    const model = await writeTinyFamily(join(directory, "vectors"), "bert-1", { blocks: 1 });
    const task = { name: "search", kind: "embedding", labels: [], metrics: ["ndcg_at_10"] };
    const tiny = await tinyAdapter(model, "lora", { rank: 2 }, task);
    const texts = EXAMPLES.map(({ index, text }) => ({ index, text }));
    const [report, whole, rounded] = await compared("vectors", tiny, texts, (model) =>
      model.embed(texts.map(({ text }) => text)),
    );
    expect(report.largestDifference).toBeLessThan(1e-5);
    const cosines = whole.map((vector, i) => dot(unitVector(vector), unitVector(rounded[i]!))).sort((a, b) => a - b);
    expect(cosines[0]).toBeLessThan(cosines[1]! - 1e-4);
    expect(report.quantized!.leastCosine).toBeCloseTo(cosines[0]!, 5);
  });
});

test("a decoder's last token is found wherever the padding is", async () => {
  const model = await writeTinyFamily(join(directory, "padded"), "llama-1", { blocks: 1 });
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const output = join(directory, "padded-onnx");
  await exportAdapter(base, adapter, { format: "onnx", output }, runtime, EXAMPLES);
  const session = await InferenceSession.create(join(output, onnxFile("model", "float32")), {
    intraOpNumThreads: 1,
  });
  const ids = [...base.tokenizer.encode("a cat sat.", undefined, 20).inputIds];
  const logits = async (before: number, after: number): Promise<Float32Array> => {
    const row = (values: readonly number[], filler: number): OnnxTensor => {
      const all = [...Array(before).fill(filler), ...values, ...Array(after).fill(filler)];
      return new OnnxTensor("int64", BigInt64Array.from(all, BigInt), [1, all.length]);
    };
    const ones = ids.map(() => 1);
    const found = await session.run({ input_ids: row(ids, 0), attention_mask: row(ones, 0) });
    return found.logits!.data as Float32Array;
  };
  const alone = await logits(0, 0);
  for (const [before, after] of [
    [0, 4],
    [5, 0],
    [3, 2],
  ] as const) {
    const found = await logits(before, after);
    expect(Math.max(...found.map((logit, i) => Math.abs(logit - alone[i]!))), `${before} ${after}`).toBeLessThan(1e-5);
  }
  await session.release();
});

describe("Transformers.js", () => {
  test("classifies SST-2 dev as well with int8 weights as the run does", async () => {
    const adapter = await loadAdapter(fileURLToPath(new URL("../fixtures/minilm/sst2-adapter", import.meta.url)));
    const { task } = adapter.description;
    const base = await loadBaseModel(adapter.description.model, task, 0);
    const { validation } = await loadGlueTask("sst2", fileURLToPath(new URL("../../assets/sst2", import.meta.url)));
    // An eighth; texts of like length together: less padding to compute.
    const eighth = validation[0]!.examples.filter((_, i) => i % 8 === 0);
    const examples = eighth.toSorted((a, b) => a.text.length - b.text.length);
    const output = join(directory, "sst2");
    const report = await exportAdapter(
      base,
      adapter,
      { format: "onnx", output, dtype: "q8" },
      runtime,
      examples.slice(0, 32),
    );
    expect(report.largestDifference).toBeLessThan(1e-4);
    expect(report.files["onnx/model_quantized.onnx"]!).toBeLessThan(0.28 * report.files["onnx/model.onnx"]!);

    const accuracyOf = (labels: (string | undefined)[]): number =>
      labels.filter((label, i) => label === task.labels[examples[i]!.label!]).length / labels.length;
    const model = await FineTunedModel.adapt(base, adapter, runtime);
    const own = (await model.predict(examples.map(({ text }) => text))).map(({ label }) => label);
    await model.release();
    expect(accuracyOf(own)).toBeGreaterThan(0.84);

    const some = examples.slice(0, 24).map(({ text }) => text);
    const float = await pipeline("text-classification", "sst2", { dtype: "fp32" });
    expect((await float(some)).map(({ label }) => label)).toEqual(own.slice(0, 24));
    await float.dispose();

    const small = await pipeline("text-classification", "sst2", { dtype: "q8" });
    const labels: string[] = [];
    for (let i = 0; i < examples.length; i += 32) {
      labels.push(...(await small(examples.slice(i, i + 32).map(({ text }) => text))).map(({ label }) => label));
    }
    await small.dispose();
    expect(Math.abs(accuracyOf(labels) - accuracyOf(own))).toBeLessThanOrEqual(0.01);
  });

  test("values of pairs, as the folder's README shows", async () => {
    const model = await writeTinyFamily(join(directory, "regression"), "bert-1", { blocks: 1 });
    const task = { name: "similarity", kind: "regression" as const, labels: [], metrics: ["pearson" as const] };
    const { base, adapter } = await tinyAdapter(model, "aflora", { rank: 2 }, task);
    const output = join(directory, "similarity");
    await exportAdapter(base, adapter, { format: "onnx", output }, runtime, EXAMPLES);
    const snippet = /const inputs = (.*);/.exec(readFileSync(join(output, "README.md"), "utf8"))![1];
    expect(snippet).toBe('tokenizer("first text", { text_pair: "second text", padding: true, truncation: true })');

    const tokenizer = await AutoTokenizer.from_pretrained("similarity");
    const exported = await AutoModelForSequenceClassification.from_pretrained("similarity", { dtype: "fp32" });
    const { logits } = await exported(
      tokenizer("a first text", { text_pair: "another one", padding: true, truncation: true }),
    );
    await exported.dispose();
    const tuned = await FineTunedModel.adapt(base, adapter, runtime);
    const [expected] = await tuned.predict([["a first text", "another one"]]);
    await tuned.release();
    expect(Math.abs(logits.data[0] - expected!.value!)).toBeLessThan(1e-4);
  });
});

test("an empty folder behind a link takes an export, and nothing that an earlier process left", async () => {
  const model = await writeTinyFamily(join(directory, "linked-model"), "bert-1", { blocks: 1 });
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const [output, target] = [join(directory, "linked"), join(directory, "target")];
  await mkdir(target);
  await symlink(target, output, "junction");
  for (const path of [output, join(directory, "beside")]) {
    await mkdir(`${path}.${process.pid}.tmp`);
    await writeFile(join(`${path}.${process.pid}.tmp`, "left.txt"), "left");
    const { files } = await exportAdapter(base, adapter, { format: "merged", output: path }, runtime, EXAMPLES);
    expect((await readdir(path)).sort()).toEqual(Object.keys(files).sort());
    expect(Object.keys(files)).not.toContain("left.txt");
  }
  expect((await lstat(output)).isSymbolicLink()).toBe(true);
  expect(await readdir(target)).toContain("model.safetensors");
  expect((await readdir(directory)).filter((name) => /\.[0-9a-f-]{36}\.tmp$/.test(name))).toEqual([]);
});

describe("nothing is left behind", () => {
  test("if the folder is not empty, or is a file", async () => {
    const model = await writeTinyFamily(join(directory, "used-model"), "bert-1", { blocks: 1 });
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
    const output = join(directory, "used");
    await mkdir(output);
    await writeFile(join(output, "mine.txt"), "mine");
    const to = (path: string) => exportAdapter(base, adapter, { format: "merged", output: path }, runtime, EXAMPLES);
    await expect(to(output)).rejects.toThrow(/used is not empty; name a new folder/);
    await expect(to(join(output, "mine.txt"))).rejects.toThrow(/mine.txt is a file/);
    expect(await readdir(output)).toEqual(["mine.txt"]);
  });

  test("if logits are NaN", async () => {
    const model = await writeTinyFamily(join(directory, "broken-model"), "bert-1", { blocks: 1 });
    const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
    adapter.parameters.get("encoder.layer.0.output.dense.B")!.data.fill(Number.NaN);
    const output = join(directory, "broken");
    await expect(exportAdapter(base, adapter, { format: "merged", output }, runtime, EXAMPLES)).rejects.toThrow(
      /values that are not finite/,
    );
    expect((await readdir(directory)).filter((name) => name.startsWith("broken"))).toEqual(["broken-model"]);
    expect(existsSync(output)).toBe(false);
  });
});
