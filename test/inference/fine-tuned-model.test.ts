import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { AdapterHost } from "../../src/inference/adapter-host.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import type { TextPrediction } from "../../src/tasks/built-in-kinds.ts";
import { runtime } from "../support/runtime.ts";
import { tinyAdapter } from "../support/tiny-adapter.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-tuned-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1", { blocks: 1 });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function tuned(...task: [Parameters<typeof tinyAdapter>[3]?]): Promise<FineTunedModel> {
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 }, ...task);
  return FineTunedModel.adapt(base, adapter, runtime);
}

test("one text has one prediction, a list one for each text, including an empty one", async () => {
  const one = await tuned();
  const [first, empty, third] = (await one.predict(["a text", "", "a text"])) as [
    TextPrediction,
    TextPrediction,
    TextPrediction,
  ];
  const single = await one.predict("a text");
  expect(single.labels).toHaveLength(3);
  expect(await one.predict({ text: "a text" })).toEqual(single);
  // Texts that are computed together differ in the last bits.
  const probability = ({ labels }: TextPrediction): number => labels![0]!.probability;
  for (const each of [single, third]) expect(probability(each)).toBeCloseTo(probability(first), 6);
  expect(probability(await one.predict(""))).toBeCloseTo(probability(empty), 6);
  expect(await one.predict([])).toEqual([]);
  await one.release();
});

test("many texts are predicted in parts, in their order, and no part before the caller needs it", async () => {
  // Memory holds this number of outputs for 256 texts.
  const labels = Array.from({ length: 2 ** 15 }, (_, i) => `label ${i}`);
  const one = await tuned({ name: "custom", kind: "classification", labels, metrics: ["accuracy"] });
  const texts = Array.from({ length: 260 }, (_, i) => `text ${i % 7}`);
  const told: number[] = [];
  const onDone = (done: number, of: number): void => {
    expect(of).toBe(texts.length);
    told.push(done);
  };
  for await (const first of one.predictEach(texts, { onDone })) {
    expect(first.label).toBeDefined();
    break;
  }
  expect(told.at(-1)).toBe(256);
  const examples = texts.map((text, index) => ({ index, text }));
  const all = await one.predictLabels(examples, { onDone });
  expect(told.at(-1)).toBe(texts.length);
  const few = await one.predictLabels(examples.slice(0, 7));
  for (const [i, { label }] of all.entries()) expect(label).toBe(few[i % 7]!.label);
  await one.release();
});

test("a tagger predicts nothing for an empty text, and continues with the next", async () => {
  const task = { name: "custom", kind: "token-classification", labels: ["B-X", "O"], metrics: ["f1"] };
  const tagger = await tuned(task);
  const [, second] = await tagger.predict(["", "two words"]);
  expect(second!.words).toHaveLength(2);
  expect(await tagger.predict("")).toEqual({ words: [], entities: [] });
  expect(await tagger.predict(["", ""])).toHaveLength(2);
  await tagger.release();
});

test("an input that is not text is refused with a message", async () => {
  const one = await tuned();
  const wrong = /^predict takes a text, a list of texts, of pairs \[text, textPair\] or of \{ text, textPair \}, not /;
  for (const given of [undefined, null, 7, { txt: "a" }, [7], [["a", 7]]]) {
    await expect(one.predict(given as unknown as string)).rejects.toThrow(wrong);
  }
  await one.release();
});

test("weights or outputs that are not finite are refused with a message, never answered", async () => {
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 });
  const [name, { data }] = [...adapter.parameters].find(([each]) => each.endsWith(".B"))!;
  const [before] = data;
  data[0] = Number.NaN;
  await expect(FineTunedModel.adapt(base, adapter, runtime)).rejects.toThrow(
    `the adapter on tiny is damaged: "${name}" has values that are not finite`,
  );
  data[0] = before!;
  const classifier = adapter.parameters.get("classifier.weight")!.data;
  classifier.fill(3e38);
  const overflowing = await FineTunedModel.adapt(base, adapter, runtime);
  await expect(overflowing.predict(["a text", "more"])).rejects.toThrow(
    "the model's outputs for text 1 are not finite",
  );
  await overflowing.release();
});

test("a released model refuses to predict and may be released again; so does a model of a host", async () => {
  const one = await tuned();
  await one.release();
  await one.release();
  const released = "the model was released; load it again to use it";
  await expect(one.predict("a text")).rejects.toThrow(released);

  const host = new AdapterHost(await loadBaseModel(model), runtime);
  // A name like any other.
  const name = "__proto__";
  expect(() => host.use(name)).toThrow('there is no adapter "__proto__"');
  await host.add(name, (await tinyAdapter(model, "lora", { rank: 2 })).adapter);
  const hosted = host.use(name);
  expect(host.names).toEqual([name]);
  expect(await hosted.predict("a text")).toHaveProperty("label");
  await host.release();
  await expect(hosted.predict("a text")).rejects.toThrow(released);
});

test("a model is typed only for its own kind of task", async () => {
  const one = await tuned();
  const { label } = await one.ofKind("classification").predict("a text");
  expect(one.description.task.labels).toContain(label);
  expect(() => one.ofKind("regression")).toThrow("the model is for classification, not for regression");
  await one.release();
});
