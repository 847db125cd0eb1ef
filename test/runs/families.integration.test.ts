import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { loadFineTunedModel } from "../../src/inference/load-fine-tuned-model-node.ts";
import { evaluateRun } from "../../src/runs/evaluate-run.ts";
import { fineTune } from "../support/fine-tune.ts";
import { on, together } from "../support/on-event.ts";
import { runtime } from "../support/runtime.ts";
import { conll, removeHead, taggedSentences, writeTinyFamily } from "../support/tiny-family.ts";

const QUICK = {
  threads: 1,
  batchSize: 8,
  learningRate: 0.01,
  headLearningRate: 0.01,
  maxGradNorm: 1,
  method: "aflora",
};

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-families-"));
  const rows = Array.from(
    { length: 24 },
    (_, i) => `${"bc"[i % 2]!.repeat(1 + (i % 5))} aa,${i % 2 ? "odd" : "even"}\n`,
  );
  await writeFile(join(home, "texts.csv"), `text,label\n${rows.join("")}`);
  await writeFile(join(home, "tagged.conll"), conll(taggedSentences(24)));
});
afterAll(() => rm(home, { recursive: true }));

/** A whole run, at the end of which the adapter on the disk must give the logits that the one in memory gives. */
async function run(model: string, train: string, options: Record<string, unknown>) {
  const output = await mkdtemp(join(home, "run-"));
  const losses: number[] = [];
  const made: string[] = [];
  const { result } = await fineTune(
    // From a new head, so that what training alone teaches shows in the losses.
    { ...QUICK, headStart: "new", ...options, model, train: join(home, train), validationSplit: 0.25, output },
    {
      onEvent: together(
        on("start", ({ base }) => void made.push(...base.newWeights.map(({ name }) => name))),
        on("step", ({ loss }) => void losses.push(loss)),
      ),
    },
  );
  return { output, result: result!, losses, made };
}

describe("a pretrained checkpoint of every architecture can be fine-tuned, from files to predictions", () => {
  test.each([
    ["bert-1", "bert"],
    ["roberta-1", "roberta"],
    ["distilbert-1", "distilbert"],
    ["electra-1", "electra"],
    ["mpnet-1", "mpnet"],
    ["deberta-v2-2", "deberta"],
    ["modernbert-1", "model"],
    ["llama-1", "model"],
    ["qwen3-1", "model"],
    ["gpt2-1", "transformer"],
  ])("%s", async (name, prefix) => {
    // The first two blocks of ModernBERT differ.
    const model = await writeTinyFamily(join(home, name), name, { blocks: name === "modernbert-1" ? 2 : 1 });
    await removeHead(model, prefix);

    const texts = await run(model, "texts.csv", { epochs: 4, dropout: false, freezeInterval: 4 });
    expect(texts.made.some((each) => /classifier|score/.test(each))).toBe(true);
    expect(texts.losses.at(-1)).toBeLessThan(texts.losses[0]!);
    expect(texts.result.frozen.of).toBeGreaterThan(0);
    expect(texts.result.frozen.count).toBe(texts.result.frozen.of);
    expect((await evaluateRun(texts.output, { threads: 1 }))[0]!.metrics).toMatchObject(texts.result.metrics);

    const words = await run(model, "tagged.conll", { epochs: 2, dropout: true, method: "lora" });
    expect(words.losses.at(-1)).toBeLessThan(words.losses[0]!);
    expect((await evaluateRun(words.output, { threads: 1 }))[0]!.metrics).toEqual(words.result.metrics);
    const tagger = await loadFineTunedModel(words.output, runtime);
    const [found] = await tagger.predict(["abc xde."]);
    await tagger.release();
    expect(found!.words!.map(({ word }) => word)).toEqual(["abc", "xde", "."]);
  });
});

test("a new normalisation starts as the identity", async () => {
  const model = await writeTinyFamily(join(home, "modern"), "modernbert-2");
  await removeHead(model, "model");
  const { weights } = await loadBaseModel(model, { kind: "classification", labels: ["a", "b"] }, 1);
  expect(new Set(weights.get("head.norm.weight")!.data)).toEqual(new Set([1]));
  expect(new Set(weights.get("head.norm.bias")!.data)).toEqual(new Set([0]));
  expect(new Set(weights.get("head.dense.weight")!.data).size).toBeGreaterThan(1000);
});
