import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { headTrains } from "../../src/preparation/trained-head.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-head-"));
});
afterAll(() => rm(home, { recursive: true }));

type Task = Pick<TaskData, "kind" | "labels">;
const TWO: Task = { kind: "classification", labels: ["a", "b"] };
const TAGS: Task = { kind: "token-classification", labels: ["B-X", "I-X", "O"] };

async function load(name: string, task: Task, settings: Record<string, unknown> = {}) {
  const directory = await writeTinyFamily(await mkdtemp(join(home, name)), name, settings);
  const base = await loadBaseModel(directory, task, 1);
  const head = [...base.trace.weights.values()].filter(({ part }) => part === "head").map((spec) => spec.name);
  const trained = (choice: "new" | "all" | "classifier") => head.filter(headTrains(choice, base));
  return { base, head, trained, made: base.newWeights.map((spec) => spec.name) };
}

describe("--head", () => {
  test.each([
    ["bert-1", ["pooler.dense.weight", "pooler.dense.bias"], "classifier"],
    ["roberta-1", ["classifier.dense.weight", "classifier.dense.bias"], "classifier.out_proj"],
    ["distilbert-1", ["pre_classifier.weight", "pre_classifier.bias"], "classifier"],
    ["electra-1", ["classifier.dense.weight", "classifier.dense.bias"], "classifier.out_proj"],
    ["mpnet-1", ["classifier.dense.weight", "classifier.dense.bias"], "classifier.out_proj"],
    ["deberta-v2-1", ["pooler.dense.weight", "pooler.dense.bias"], "classifier"],
    ["modernbert-1", ["head.dense.weight", "head.norm.weight"], "classifier"],
  ])("%s", async (name, inner, classifier) => {
    // The checkpoint has another number of labels: what was learnt below the classifier is kept and does not train.
    const { head, made, trained } = await load(name, TWO);
    const last = [`${classifier}.weight`, `${classifier}.bias`];
    expect(head).toEqual([...inner, ...last]);
    expect(made).toEqual(last);
    expect(trained("new")).toEqual(last);
    expect(trained("all")).toEqual(head);
    expect(trained("classifier")).toEqual(last);

    const tokens = await load(name, TAGS);
    expect(tokens.made).toEqual(["classifier.weight", "classifier.bias"]);
    expect(tokens.trained("new")).toEqual(tokens.made);
  });

  test.each(["llama-1", "gpt2-1"])("%s, a decoder, has one layer to learn", async (name) => {
    const { head, made, trained } = await load(name, TWO);
    expect(head).toEqual(["score.weight"]);
    expect(made).toEqual(head);
    for (const choice of ["new", "all", "classifier"] as const) expect(trained(choice)).toEqual(head);
  });
});

describe("a checkpoint's own classifier", () => {
  const id2label = { 0: "Low", 1: "Mid", 2: "High" };

  test("is kept where it is for the same labels in the same order", async () => {
    const own = await load("bert-1", { kind: "classification", labels: ["low", "mid", "high"] }, { id2label });
    expect(own.made).toEqual([]);
    expect(own.base.unused).toEqual([]);
    // The classifier trains in any case, or an adapter alone would have to make up for it.
    expect(own.trained("new")).toEqual(["classifier.weight", "classifier.bias"]);
    expect((await load("bert-1", { kind: "classification", labels: ["0", "1", "2"] })).made).toEqual([]);
    expect((await load("bert-2", { kind: "regression", labels: [] })).made).toEqual([]);
  });

  test.each([
    ["other labels", { kind: "classification", labels: ["cat", "dog", "fish"] }, { id2label }],
    ["another order", { kind: "classification", labels: ["High", "Low", "Mid"] }, { id2label }],
    ["labels of words", TAGS, { id2label: { 0: "B-X", 1: "I-X", 2: "O" } }],
    ["no names", { kind: "classification", labels: ["cat", "dog", "fish"] }, {}],
  ] as [string, Task, Record<string, unknown>][])("is made new for %s, and said so", async (_, task, settings) => {
    const { made, base } = await load("bert-1", task, settings);
    expect(made).toEqual(["classifier.weight", "classifier.bias"]);
    expect(base.unused).toEqual(expect.arrayContaining(made));
    // Drawn, not read; the bias starts at 0.
    expect(base.weights.get("classifier.bias")!.data).toEqual(new Float32Array(3));
    const deviation = Math.hypot(...base.weights.get("classifier.weight")!.data) / Math.sqrt(3 * 32);
    expect(deviation).toBeCloseTo(0.02, 2);
  });
});
