import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { UserError } from "../../src/errors.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { exportRun } from "../../src/runs/export-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { conll, taggedSentences, writeTinyFamily } from "../support/tiny-family.ts";

const QUICK = { threads: 1, batchSize: 16, learningRate: 0.02, headLearningRate: 0.02, maxGradNorm: 1, method: "lora" };

let home: string;
let model: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-kinds-"));
  model = await writeTinyFamily(join(home, "bert"), "bert-1", { blocks: 1 });
});
afterAll(() => rm(home, { recursive: true }));

describe("token classification", () => {
  const output = () => join(home, "tagged");
  beforeAll(async () => {
    await writeFile(join(home, "train.conll"), conll(taggedSentences(60)));
    await writeFile(join(home, "dev.conll"), conll(taggedSentences(80).slice(60)));
    const files = { train: join(home, "train.conll"), validation: join(home, "dev.conll") };
    await fineTune({ ...QUICK, ...files, model, epochs: 12, output: output() });
  });

  test("finds the entities of unseen sentences", async () => {
    const result = JSON.parse(await readFile(join(output(), "result.json"), "utf8"));
    expect(Object.keys(result.metrics)).toEqual(["f1", "precision", "recall", "accuracy"]);
    expect(result.metrics.f1).toBeGreaterThan(0.95);
    const [own] = await evaluateRun(output(), { threads: 1 });
    expect(own).toMatchObject({ split: "validation", examples: 20, metrics: result.metrics });
    expect(own!.labels).toEqual(["B-LOC", "B-PER", "I-PER", "O"]);
    const again = { validation: join(home, "train.conll"), threads: 1 };
    expect((await evaluateRun(output(), again))[0]).toMatchObject({ examples: 60 });
  });

  test("predicts words and entities with their positions and probabilities", async () => {
    const tagger = await loadFineTunedModel(output(), runtime);
    try {
      const text = "Ahd xov xad bmp zcu.";
      const words = { text: "ahd xov", words: ["ahd", "xov"] };
      const [found, given, none] = await tagger.predict([text, words, "abc"]);
      expect(found!.words!.map(({ word, label }) => [word, label])).toEqual([
        ["Ahd", "O"],
        ["xov", "B-PER"],
        ["xad", "I-PER"],
        ["bmp", "O"],
        ["zcu", "B-LOC"],
        [".", "O"],
      ]);
      for (const { word, start, end, probability } of found!.words!) {
        expect(text.slice(start, end)).toBe(word);
        expect(probability).toBeGreaterThan(0.5);
      }
      const [person] = found!.entities!;
      expect(person).toMatchObject({ type: "PER", text: "xov xad", start: 4, end: 11 });
      const [first, second] = found!.words!.slice(1, 3).map(({ probability }) => probability!);
      expect(person!.probability).toBeCloseTo((first! + second!) / 2, 12);
      expect(given!.words!.map(({ label }) => label)).toEqual(["O", "B-PER"]);
      expect(none!.entities).toEqual([]);
      await expect(tagger.predict([["one", "two"]])).rejects.toThrow(/takes single texts, not pairs/);

      // Texts of different lengths share a run of the exported file, which pads them.
      await exportRun(output(), { format: "onnx", output: join(home, "exported") }, { threads: 1 });
      const exported = await loadFineTunedModel(join(home, "exported"), runtime);
      const whole = await exported.predict([text, "abc"]);
      await exported.release();
      const tags = (each: typeof found) => each!.words!.map(({ word, label }) => [word, label]);
      expect(whole.map(tags)).toEqual([found, none].map(tags));
    } finally {
      await tagger.release();
    }
  });

  test("words beyond the maximum length have no label, and count as outside any entity", async () => {
    const tagger = await loadFineTunedModel(output(), runtime);
    const words = Array.from({ length: 30 }, () => "xyz");
    const example = { index: 0, text: words.join(" "), words };
    const [found] = await tagger.predict([example]);
    const [labels] = await tagger.predictLabels([example]);
    await tagger.release();
    // 40 positions less two special tokens hold twelve words of three letters and the first two letters of another.
    expect(found!.words!.map(({ label }) => label !== undefined)).toEqual(words.map((_, i) => i < 13));
    expect(found!.words![20]).toEqual({ word: "xyz", start: 80, end: 83 });
    expect(labels!.labels!.slice(13)).toEqual(words.slice(13).map(() => 3));
  });

  test("the adapter on disk holds the token head", async () => {
    const { description, parameters } = await loadAdapter(join(output(), "adapter"));
    expect(description.task).toMatchObject({ kind: "token-classification" });
    expect(parameters.get("classifier.weight")!.shape).toEqual([4, 32]);
  });

  test("tags can have class weights", async () => {
    const files = { train: join(home, "train.conll"), validation: join(home, "dev.conll") };
    const once = { ...QUICK, ...files, model, epochs: 1, headStart: "new" };
    const weighed = { ...once, classWeights: "balanced", output: join(home, "weighed") };
    const losses: number[] = [];
    await fineTune(weighed, { onEvent: on("step", ({ loss }) => void losses.push(loss)) });
    expect(losses[0]).toBeGreaterThan(0.5);
    expect(losses[0]).toBeLessThan(3);
  });
});

test("several labels at once: train, evaluate, predict", async () => {
  const labels = ["food", "music", "sport"];
  const rows = Array.from({ length: 60 }, (_, i) => {
    const own = labels.filter((_, bit) => ((i * 5) >> bit) & 1);
    const said = own.map((label) => label[0]!.repeat(3)).join(" ");
    return { text: `${"abcdegh"[i % 7]!.repeat(2)} ${said}`, label: own };
  });
  const [train, validation] = [join(home, "many.jsonl"), join(home, "many-dev.jsonl")];
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`);
  await writeFile(train, lines.slice(0, 48).join(""));
  await writeFile(validation, lines.slice(48).join(""));
  const output = join(home, "many");
  const { result } = await fineTune({ ...QUICK, train, validation, model, epochs: 15, output });
  expect(Object.keys(result!.metrics)).toEqual(["micro_f1", "macro_f1"]);
  expect(result!.metrics.micro_f1).toBeGreaterThan(0.9);
  const [evaluation] = await evaluateRun(output, { threads: 1 });
  expect(evaluation).toMatchObject({ metrics: result!.metrics, labels });
  expect(evaluation!.confusion).toBeUndefined();

  const tagger = await loadFineTunedModel(output, runtime);
  const [both, none] = await tagger.predict(["aa fff sss", "bb"]);
  await tagger.release();
  const above = ({ labels: all = [] }: typeof both & object) =>
    all.filter(({ probability }) => probability > 0.5).map(({ label }) => label);
  expect(above(both!).sort()).toEqual(["food", "sport"]);
  expect(both!.labels).toHaveLength(3);
  expect(both!.label).toBeUndefined();
  expect(above(none!)).toEqual([]);

  const weighed = { ...QUICK, train, validation, model, epochs: 1, classWeights: "balanced", output: join(home, "no") };
  await expect(fineTune(weighed)).rejects.toThrow(UserError);
  await expect(fineTune(weighed)).rejects.toThrow(
    /option "classWeights" belongs to classification, token-classification, image-classification, and audio-classification, not to task kind "multi-label"/,
  );
});
