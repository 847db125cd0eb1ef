import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForSequenceClassification, AutoTokenizer, env, pipeline } from "@huggingface/transformers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { writeReport } from "../../src/reports/report.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import type { RunStart } from "../../src/runs/fine-tune-events.ts";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { pairedDifference } from "../../src/studies/paired-difference.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { tickets, writeTinyModel } from "../support/tiny-model.ts";

const QUICK = {
  threads: 1,
  batchSize: 12,
  learningRate: 0.02,
  maxGradNorm: 1,
  method: "lora",
  rank: 4,
  warmupRatio: 0,
};

let home: string;
let model: string;
const at = (name: string): string => join(home, name);

const all = tickets(4);

/** Each ticket with the next of its team and, as negatives, two of other teams. */
const pairs = all.map(({ message: anchor, team }, i) => {
  const block = all.slice(Math.floor(i / 15) * 15, Math.floor(i / 15) * 15 + 15);
  const own = block.filter((each) => each.team === team);
  const others = block.filter((each) => each.team !== team);
  const positive = own[(own.findIndex(({ message }) => message === anchor) + 1) % own.length]!.message;
  return { anchor, positive, negative: others[i % 10]!.message, negative_2: others[(i + 5) % 10]!.message };
});

async function writeJsonl(name: string, rows: readonly object[]): Promise<string> {
  await writeFile(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return at(name);
}

/** A folder of sentence-transformers. */
async function writeSentenceModel(name: string, pooling: Record<string, unknown>, normalize: boolean): Promise<string> {
  const folder = await writeTinyModel(at(name));
  const modules = ["Transformer", "Pooling", ...(normalize ? ["Normalize"] : [])];
  const paths = ["", "1_Pooling", "2_Normalize"];
  const listed = modules.map((type, idx) => ({ idx, path: paths[idx], type: `sentence_transformers.models.${type}` }));
  await writeFile(join(folder, "modules.json"), JSON.stringify(listed));
  await mkdir(join(folder, "1_Pooling"), { recursive: true });
  await writeFile(join(folder, "1_Pooling", "config.json"), JSON.stringify(pooling));
  await writeFile(join(folder, "sentence_bert_config.json"), JSON.stringify({ max_seq_length: 16 }));
  return folder;
}

type Vectors = readonly ArrayLike<number>[];

function largestDifference(found: Vectors, expected: Vectors): number {
  expect(found.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const differences = found.flatMap((vector, i) =>
    Array.from(vector, (value, j) => Math.abs(value - expected[i]![j]!)),
  );
  return Math.max(...differences);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-embedding-"));
  model = await writeSentenceModel("sentence-model", { pooling_mode_mean_tokens: true }, true);
  env.allowRemoteModels = false;
  env.localModelPath = home;
});
afterAll(() => rm(home, { recursive: true }));

describe("pairs", () => {
  const run = () => at("pairs");
  let start: RunStart;
  beforeAll(async () => {
    const train = await writeJsonl(
      "pairs.jsonl",
      pairs.map(({ anchor, positive }) => ({ anchor, positive })),
    );
    // Told by its columns.
    const onEvent = on("start", (begun: RunStart): void => {
      start = begun;
    });
    const given = { ...QUICK, model, train, validation: train, epochs: 12, dimensions: "32,8", output: run() };
    await fineTune(given, { onEvent });
  });

  test("learn to find related texts", async () => {
    const { evaluations, result, steps, config } = await readRunRecords(run());
    expect(config.run.kind).toBeUndefined();
    expect(start.task).toMatchObject({ kind: "embedding", options: { rows: "pairs" } });
    expect(Object.keys(result!.metrics)[0]).toBe("ndcg_at_10");
    expect(result!.metrics.ndcg_at_10!).toBeGreaterThan(evaluations[0]!.metrics.ndcg_at_10! + 0.15);
    expect(result!.trainable.head).toBe(0);
    expect(steps).toHaveLength(60);
    const [evaluation] = await evaluateRun(run(), { threads: 1 });
    expect(evaluation!.metrics).toMatchObject(result!.metrics);
    const { precision_at_1, precision_at_10, recall_at_1 } = evaluation!.metrics;
    // Each query has one text that answers it.
    expect([precision_at_1, 10 * precision_at_10!]).toEqual([
      recall_at_1,
      expect.closeTo(result!.metrics.recall_at_10!),
    ]);
    expect(Object.keys(evaluation!.beside!)).toEqual(["before training", "BM25"]);
    expect(evaluation!.beside!["before training"]).toMatchObject(evaluations[0]!.metrics);
    expect(Object.keys(evaluation!.beside!.BM25!)).toEqual(Object.keys(evaluation!.metrics));
  });

  test("record scores of related and other pairs, before training and after each epoch", async () => {
    const { scores, evaluations } = await readRunRecords(run());
    expect(scores.map(({ epoch }) => epoch)).toEqual(evaluations.map(({ epoch }) => epoch));
    const [first, last] = [scores[0]!, scores.at(-1)!];
    expect(first.texts).toHaveLength(60);
    expect(last.texts).toEqual([]);
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;
    for (const [i, { metrics }] of evaluations.entries()) {
      expect(scores[i]!.measure).toBe("ndcg_at_10");
      expect(mean(scores[i]!.values)).toBeCloseTo(metrics.ndcg_at_10!, 3);
    }
    const apart = ({ relevant, others }: typeof first): number => mean(relevant) - mean(others);
    expect(apart(last)).toBeGreaterThan(apart(first) + 0.1);
    await writeReport([run()], at("pairs.html"));
    const page = await readFile(at("pairs.html"), "utf8");
    for (const text of [
      "Scores, before training",
      "Scores, after epoch",
      "Queries that gained most by training, in NDCG@10",
    ]) {
      expect(page).toContain(text);
    }
  });

  test("two runs are compared by resampling the queries, each searched once; an abort ends it", async () => {
    const given = { ...QUICK, model, train: at("pairs.jsonl"), validation: at("pairs.jsonl"), output: at("short") };
    await fineTune({ ...given, epochs: 1 });
    const valuesOf = async (directory: string): Promise<readonly number[]> => {
      const { scores, result } = await readRunRecords(directory);
      return scores.find(({ epoch }) => epoch === result!.bestEpoch)!.values;
    };
    const [long, short] = [await valuesOf(run()), await valuesOf(at("short"))];
    const gains = long.map((value, i) => value - short[i]!);
    const gain = gains.reduce((sum, each) => sum + each / gains.length, 0);
    const variance = gains.reduce((sum, each) => sum + (each - gain) ** 2 / gains.length, 0);
    const found = await pairedDifference(run(), at("short"), { threads: 1 });
    expect(found).toMatchObject({ metric: "ndcg_at_10", gain: expect.closeTo(gain, 3) });
    // Of 500 resamples, the estimate is within 10 % of the mean's standard error.
    expect(Math.abs(found.standardError / Math.sqrt(variance / gains.length) - 1)).toBeLessThan(0.1);

    const abort = new AbortController();
    let models = 0;
    const onDone = (done: number, of: number): void => {
      if (done === of && ++models === 2) abort.abort();
    };
    const comparing = pairedDifference(run(), at("short"), { threads: 1, onDone }, undefined, abort.signal);
    await expect(comparing).rejects.toThrow("This operation was aborted");
  });

  test("are embedded and cut as the model's folder defines", async () => {
    const tuned = await loadFineTunedModel(run(), runtime);
    const { description } = tuned;
    const vectors = await tuned.embed(["my card was charged twice", "", "the app does not open"]);
    const [short] = await tuned.embed(["my card was charged twice"], { dimensions: 8 });
    await expect(tuned.embed(["a"], { dimensions: 33 })).rejects.toThrow(
      /has 32 dimensions, which cannot be cut to 33/,
    );
    await expect(tuned.rerank("a", ["b"])).rejects.toThrow(/is for embedding, not a reranker/);
    const { embedding } = await tuned.ofKind("embedding").predict("the app does not open");
    await tuned.release();
    expect(description).toMatchObject({
      maxLength: 16,
      task: { options: { loss: "multiple-negatives-ranking", dimensions: [32, 8] } },
    });
    expect(largestDifference([embedding], [vectors[2]!])).toBeLessThan(1e-6);
    for (const vector of [...vectors, short!]) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    expect(short).toHaveLength(8);
  });

  test("resume a run that was cut off", async () => {
    const output = at("resumed");
    const abort = new AbortController();
    const given = {
      ...QUICK,
      model,
      train: at("pairs.jsonl"),
      validation: at("pairs.jsonl"),
      epochs: 12,
      dimensions: "32,8",
      output,
    };
    await fineTune(given, {
      signal: abort.signal,
      onEvent: on("step", ({ step }) => void (step === 7 && abort.abort())),
    });
    await fineTune({ output }, { resume: true });
    const [whole, resumed] = [await readRunRecords(run()), await readRunRecords(output)];
    expect(resumed.steps.map(({ loss }) => loss)).toEqual(whole.steps.map(({ loss }) => loss));
    expect(resumed.scores).toEqual(whole.scores);
  });

  test("are written for sentence-transformers, Transformers.js and PEFT, with the same vectors", async () => {
    const texts = ["my card was charged twice", "where is my order", "crash"];
    const tuned = await loadFineTunedModel(run(), runtime);
    const expected = await tuned.embed(texts);
    await tuned.release();

    const merged = await exportRun(run(), { format: "merged", output: at("merged") }, { threads: 1 });
    expect(merged.largestDifference).toBeLessThan(1e-5);
    const again = await loadBaseModel(at("merged"), { kind: "embedding", labels: [] }, 0);
    expect(again.pooling).toEqual({ mode: "mean", normalize: true, maxLength: 16 });
    expect(JSON.parse(await readFile(at("merged/config.json"), "utf8")).architectures).toEqual(["BertModel"]);

    const onnx = await exportRun(run(), { format: "onnx", dtype: "q8", output: at("onnx-model") }, { threads: 1 });
    expect(onnx.quantized!.leastCosine).toBeGreaterThan(0.9);
    const [, options] = /embed\(\[.*\], (\{.*\})\)/.exec(await readFile(at("onnx-model/README.md"), "utf8"))!;
    expect(options).toBe('{ pooling: "mean", normalize: true }');
    const embed = await pipeline("feature-extraction", "onnx-model", { dtype: "fp32" });
    const found = (await embed(texts, { pooling: "mean", normalize: true })).tolist() as number[][];
    await embed.dispose();
    expect(largestDifference(found, expected)).toBeLessThan(1e-4);
    for (const folder of [at("merged"), at("onnx-model")]) {
      const whole = await loadFineTunedModel(folder, runtime);
      const vectors = await whole.embed(texts);
      await whole.release();
      expect(largestDifference(vectors, expected), folder).toBeLessThan(1e-4);
    }

    const peft = await exportRun(run(), { format: "peft", output: at("peft") }, { threads: 1 });
    expect(peft.largestDifference).toBeLessThan(1e-5);
    for (const file of ["modules.json", "1_Pooling/config.json", "tokenizer.json", "adapter_config.json"]) {
      // The tiny model has a vocabulary alone.
      expect(existsSync(at(`peft/${file}`)) || file === "tokenizer.json").toBe(true);
    }
    expect(JSON.parse(await readFile(at("peft/adapter_config.json"), "utf8")).task_type).toBe("FEATURE_EXTRACTION");
    const adapter = await loadFineTunedModel(at("peft"), runtime, { model });
    expect(adapter.kind.name).toBe("embedding");
    const [first] = await adapter.embed(texts);
    await adapter.release();
    expect(largestDifference([first!], expected.slice(0, 1))).toBeLessThan(1e-5);
  });
});

test.each([
  ["triplets", pairs, {}, "ndcg_at_10"],
  ["triplets by margin", pairs, { loss: "triplet", margin: 0.3 }, "ndcg_at_10"],
  ["both directions", pairs, { bothDirections: true }, "ndcg_at_10"],
  [
    "scored pairs",
    pairs.flatMap(({ anchor, positive, negative }) => [
      { sentence1: anchor, sentence2: positive, score: 4.5 },
      { sentence1: anchor, sentence2: negative, score: 0.5 },
    ]),
    {},
    "spearmanr",
  ],
  [
    "pairs with 0 or 1",
    pairs.flatMap(({ anchor, positive, negative }) => [
      { sentence1: anchor, sentence2: positive, label: 1 },
      { sentence1: anchor, sentence2: negative, label: 0 },
    ]),
    {},
    "average_precision",
  ],
  ["texts with a class", tickets(4).map(({ message, team }) => ({ text: message, label: team })), {}, "precision_at_1"],
])("%s are learned", async (name, rows, options, metric) => {
  const train = await writeJsonl("rows.jsonl", rows);
  const given = {
    ...QUICK,
    ...options,
    model,
    train,
    validation: train,
    kind: "embedding",
    epochs: 8,
    output: at(name),
  };
  const { result } = await fineTune(given);
  const { evaluations, scores } = await readRunRecords(at(name));
  expect(Object.keys(result!.metrics)[0]).toBe(metric);
  const [first, last] = [scores[0]!, scores.at(-1)!];
  expect(first.values).toHaveLength(first.texts.length);
  for (const { relevant, others } of [first, last])
    expect(Math.min(relevant.length, others.length)).toBeGreaterThan(10);
  expect(result!.metrics[metric]!).toBeGreaterThan(evaluations[0]!.metrics[metric]! + 0.05);
  const [evaluation] = await evaluateRun(at(name), { threads: 1, baselines: false });
  const pairwise = ["spearmanr", "average_precision"].includes(metric);
  expect(Object.keys(evaluation!.errors ?? {})).toEqual(pairwise ? expect.arrayContaining([metric]) : []);
});

describe("rerankers", () => {
  /** Whatever is asked, the same passage answers: as much as a tiny model learns at once. */
  const asked = all.map(({ message: query }) => ({
    query,
    passage: "my money and the invoice",
    negative: "a crash of the app",
    negative_2: "the parcel of my order",
  }));
  const labelled = asked.flatMap(({ query, passage, negative, negative_2 }) => [
    { query, passage, label: 1 },
    { query, passage: negative, label: 0 },
    { query, passage: negative_2, label: 0.25 },
  ]);

  test.each([
    ["graded", labelled, ["ndcg_at_10", "mrr_at_10", "map", "average_precision", "spearmanr"]],
    ["lists", asked, ["ndcg_at_10", "mrr_at_10", "map"]],
  ])("%s", async (name, rows, metrics) => {
    const train = await writeJsonl("reranker.jsonl", rows);
    const output = at(`reranker-${name}`);
    const { result } = await fineTune({
      ...QUICK,
      headLearningRate: 0.02,
      model,
      train,
      validation: train,
      epochs: 6,
      output,
    });
    expect(Object.keys(result!.metrics)).toEqual(metrics);
    const [evaluation] = await evaluateRun(output, { threads: 1 });
    expect(evaluation!.metrics).toEqual(result!.metrics);
    expect(Object.keys(evaluation!.beside!.BM25!)).toEqual(["ndcg_at_10", "mrr_at_10"]);
    const { scores } = await readRunRecords(output);
    expect(scores[0]).toMatchObject({ measure: "ndcg_at_10" });
    expect(new Set(scores[0]!.texts)).toEqual(new Set(all.map(({ message }) => message)));
    expect(result!.metrics.mrr_at_10!).toBeGreaterThan(0.85);
    const tuned = await loadFineTunedModel(output, runtime);
    const { query, passage, negative, negative_2 } = asked[0]!;
    const found = await tuned.rerank(query, [negative, passage, negative_2]);
    await tuned.release();
    expect(found[0]!.index).toBe(1);
    expect(found.map(({ logit }) => logit)).toEqual(found.map(({ logit }) => logit).sort((a, b) => b - a));
    for (const { logit, sigmoid } of found) expect(sigmoid).toBeCloseTo(1 / (1 + Math.exp(-logit)), 6);

    const folder = `cross-encoder-${name}`;
    const report = await exportRun(output, { format: "onnx", output: at(folder) }, { threads: 1 });
    expect(report.largestDifference).toBeLessThan(1e-4);
    const tokenizer = await AutoTokenizer.from_pretrained(folder);
    const exported = await AutoModelForSequenceClassification.from_pretrained(folder, { dtype: "fp32" });
    const { logits } = await exported(tokenizer(query, { text_pair: passage }));
    await exported.dispose();
    expect(Math.abs(logits.data[0] - found[0]!.logit)).toBeLessThan(1e-4);
    // A cross-encoder is a base, too, whose head is kept.
    await exportRun(output, { format: "merged", output: at(`${folder}-merged`) }, { threads: 1 });
    const base = await loadBaseModel(at(`${folder}-merged`), { kind: "reranker", labels: [] }, 0);
    expect(base.newWeights).toEqual([]);
  });
});

describe("unusable data is refused with a sentence", () => {
  const train = async (rows: readonly object[], options: object = {}): Promise<unknown> => {
    const file = await writeJsonl("bad.jsonl", rows);
    return fineTune({ ...QUICK, model, train: file, kind: "embedding", epochs: 1, output: at("bad"), ...options });
  };
  const few = pairs.slice(0, 20);

  test.each([
    [
      "one column",
      few.map(({ anchor }) => ({ anchor })),
      {},
      /bad\.jsonl has the columns anchor; embeddings learn from pairs/,
    ],
    ["an empty text", [...few, { anchor: " ", positive: "a" }], {}, /bad\.jsonl, line 21: no text in column "anchor"/],
    [
      "no score",
      [{ sentence1: "a", sentence2: "b", score: "high" }],
      {},
      /line 1: "high" is not a score in column "score"/,
    ],
    ["dimensions above the model's", few, { dimensions: "64" }, /option "dimensions" 64 is more than the 32 that/],
    ["dimensions that are none", few, { dimensions: "8,x" }, /option "dimensions" takes whole numbers/],
    [
      "a loss for other rows",
      few,
      { loss: "cosent" },
      /option "loss" cosent is not for these examples, which are pairs or triplets/,
    ],
    ["a margin without one", few, { margin: 0.3 }, /option "margin" is for the losses triplet and contrastive/],
    [
      "a loss of another kind",
      [...few.map(({ anchor }, i) => ({ text: anchor, label: String(i % 2) }))],
      { kind: "classification", loss: "cosent" },
      /option "loss" belongs to embedding and image-embedding, not to task kind "classification"/,
    ],
    [
      "a grade above 1",
      [{ query: "a", passage: "b", label: 3 }],
      { kind: "reranker" },
      /"3" is not a grade from 0 to 1 in column "label"; divide/,
    ],
    [
      "a reranker without labels",
      [{ query: "a", passage: "b" }],
      { kind: "reranker" },
      /a reranker learns from query and passage with a label/,
    ],
  ])("%s", async (_what, rows, options, message) => {
    await expect(train(rows, options)).rejects.toThrow(message);
    expect(existsSync(at("bad"))).toBe(false);
  });

  test("a model that training makes worse keeps its initial weights", async () => {
    const wrong = pairs.map(({ anchor, positive, negative }) => ({ anchor, positive: negative, negative: positive }));
    const [train, validation] = [await writeJsonl("wrong.jsonl", wrong), await writeJsonl("right.jsonl", pairs)];
    const given = { ...QUICK, model, train, validation, learningRate: 2, epochs: 1, output: at("kept") };
    const { result, notes } = await fineTune(given);
    expect(result!.bestEpoch).toBe(0);
    expect(notes.join()).toMatch(/training did not beat its starting point/);
  });

  test("a positive equal to its anchor is kept, counted and noted", async () => {
    const notes: string[] = [];
    const file = await writeJsonl("same.jsonl", [...few, { anchor: "late", positive: "late" }]);
    const onEvent = on("start", (start: RunStart): void => void notes.push(...start.notes));
    await fineTune({ ...QUICK, model, train: file, validation: file, epochs: 1, output: at("same") }, { onEvent });
    expect(notes).toContainEqual(expect.stringMatching(/^1 of 21 examples have a second text that equals the first/));
  });

  test("unknown modules and poolings", async () => {
    const max = await writeSentenceModel("max", { pooling_mode: "max" }, false);
    const given = { kind: "embedding", labels: [] };
    await expect(loadBaseModel(max, given, 0)).rejects.toThrow(/pools a text's tokens by max, which is not supported/);
    const dense = await writeSentenceModel("dense", { pooling_mode: "cls" }, false);
    expect((await loadBaseModel(dense, given, 0)).pooling).toEqual({ mode: "cls", normalize: false, maxLength: 16 });
    // As sentence-transformers 6 writes it.
    await writeFile(
      join(dense, "sentence_bert_config.json"),
      JSON.stringify({ transformer_task: "feature-extraction" }),
    );
    expect((await loadBaseModel(dense, given, 0)).pooling!.maxLength).toBeUndefined();
    await writeFile(join(dense, "tokenizer_config.json"), JSON.stringify({ model_max_length: 12 }));
    expect((await loadBaseModel(dense, given, 0)).pooling!.maxLength).toBe(12);
    const modules = [
      { path: "", type: "Transformer" },
      { path: "2_Dense", type: "sentence_transformers.models.Dense" },
    ];
    await writeFile(join(dense, "modules.json"), JSON.stringify(modules));
    await expect(loadBaseModel(dense, given, 0)).rejects.toThrow(
      /has a module Dense in modules\.json, which is not supported/,
    );
  });
});
