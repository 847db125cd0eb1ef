import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BaseModel, withHead } from "../../../src/base-models/base-model.ts";
import { loadBaseModel } from "../../../src/base-models/load-base-model-node.ts";
import type { Example, TaskData } from "../../../src/tasks/example.ts";
import { computeMetrics, trainingExamples } from "../../../src/tasks/examples.ts";
import { findTaskKind, objectiveOf } from "../../../src/tasks/task-kinds.ts";
import { fitHead, type HeadFitOptions } from "../../../src/training/linear-head/fit-head.ts";
import { Predictor } from "../../../src/training/prediction/predictor.ts";
import type { ProgressEvent } from "../../../src/training/progress.ts";
import { runtime } from "../../support/runtime.ts";
import { writeTinyFamily } from "../../support/tiny-family.ts";

let directory: string;
let model: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-fit-head-"));
  model = await writeTinyFamily(join(directory, "bert"), "bert-1", { blocks: 1 });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

type Task = Pick<TaskData, "kind" | "labels" | "metrics">;
const CLASSES: Task = { kind: "classification", labels: ["cats", "dogs"], metrics: ["accuracy"] };

/** Texts that say which class they are of by a letter that comes often. */
const examplesOf = (count: number, labelled: (label: number) => Partial<Example>): Example[] =>
  Array.from({ length: count }, (_, index) => {
    const label = index % 2;
    const text = `${label === 0 ? "ccc" : "ddd"} ${"abefgh".slice(index % 5)} ${label === 0 ? "cc" : "dd"}`;
    return { index, text: `${text} ${"klmnop".slice(0, index % 7)}`, ...labelled(label) };
  });

const adaptation = { modules: [], parameters: [], trainable: new Set<string>() };

async function fitted(
  task: Task,
  examples: Example[],
  candidates: readonly ("family" | "mean" | "cls")[],
  options: Partial<HeadFitOptions> = {},
) {
  const base = await loadBaseModel(model, task, 1);
  const encoded = trainingExamples(task, examples, base.tokenizer, 32);
  const adapted = { ...base, adaptation, trainsHead: () => false };
  const { linearLoss } = objectiveOf(task);
  const found = await fitHead(
    adapted,
    base.weights,
    runtime,
    { task, examples, encoded },
    {
      candidates,
      loss: linearLoss!,
      tokenBudget: 256,
      ...options,
    },
  );
  return { base, encoded, found };
}

/** What the model says with a head that was fitted. */
async function said(
  base: BaseModel,
  task: Task,
  { features, weights }: Awaited<ReturnType<typeof fitHead>>,
  examples: Example[],
) {
  const headed = await withHead(base, { ...task, features }, 1);
  const all = new Map([...headed.weights, ...weights]);
  const predictor = await Predictor.compile({ ...headed, adaptation, trainsHead: () => true }, all, runtime);
  const encoded = trainingExamples(task, examples, base.tokenizer, 32);
  const logits = await predictor.logits(encoded);
  await predictor.release();
  return logits.map((values, i) => findTaskKind(task.kind).predict(task.labels, examples[i]!, encoded[i]!, values));
}

test("a fitted head tells classes apart that its features do, and scores itself on examples left out", async () => {
  const examples = examplesOf(40, (label) => ({ label }));
  const { base, found } = await fitted(CLASSES, examples, ["mean", "cls", "family"]);
  // All are right, so that nothing is known of the error.
  expect(found.scores).toEqual({ examples: 40, metrics: { accuracy: 1 }, errors: {} });
  expect(computeMetrics(CLASSES, await said(base, CLASSES, found, examples), examples).accuracy).toBe(1);
});

test("the order of the examples counts for nothing, to the bit", async () => {
  const examples = examplesOf(24, (label) => ({ label }));
  const turned = examples.toReversed().map((example, index) => ({ ...example, index }));
  const [first, second] = [
    await fitted(CLASSES, examples, ["mean", "cls"]),
    await fitted(CLASSES, turned, ["mean", "cls"]),
  ];
  expect(second.found.weights).toEqual(first.found.weights);
  expect(second.found.features).toBe(first.found.features);
});

test("labels that are drawn at random score themselves as chance, and no features are taken for better than the first", async () => {
  const examples = examplesOf(60, () => ({})).map((example, i) => ({ ...example, label: ((i * 7919) >> 3) % 2 }));
  const { found } = await fitted(CLASSES, examples, ["mean", "cls"]);
  expect(found.features).toBe("mean");
  expect(found.scores!.metrics.accuracy).toBeLessThan(0.7);
});

test("a given penalty is taken as it is, without scores by which to compare it", async () => {
  const examples = examplesOf(24, (label) => ({ label }));
  const stages = new Set<string>();
  const onProgress = ({ stage }: ProgressEvent): void => void stages.add(stage);
  const { found } = await fitted(CLASSES, examples, ["mean", "cls"], { penalty: 0.7, onProgress });
  expect(found).toMatchObject({ features: "mean", penalty: 0.7, fittedTo: 24 });
  expect(found.scores).toBeUndefined();
  expect([...stages]).toEqual(["computing the head's features", "fitting the head"]);
});

test("a part of many examples is enough to compare by, and the head is fitted to all", async () => {
  const examples = examplesOf(1002, (label) => ({ label }));
  const read: ProgressEvent[] = [];
  const stages = new Set<string>();
  const onProgress = (progress: ProgressEvent): void => {
    stages.add(progress.stage);
    if (progress.stage === "computing the head's features") read.push(progress);
  };
  const { found } = await fitted(CLASSES, examples, ["mean", "cls"], { onProgress });
  expect([found.fittedTo, found.scores!.examples]).toEqual([1002, 501]);
  // Those that are compared by are read for the comparison, and again with all.
  expect(new Set(read.map(({ total }) => total))).toEqual(new Set([1503]));
  const done = read.map((progress) => progress.done);
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect([done[0], done.at(-1)]).toEqual([0, 1503]);
  expect([...stages]).toEqual([
    "computing the head's features",
    "choosing the head's penalty",
    "choosing the head's features",
    "scaling the head's outputs",
    "fitting the head",
  ]);
});

test("numbers, several labels and tags of words are fitted likewise", async () => {
  const numbers: Task = { kind: "regression", labels: [], metrics: ["pearson", "mean_squared_error"] };
  const scored = examplesOf(40, (label) => ({ label: 2 + 3 * label }));
  const regression = await fitted(numbers, scored, ["mean"]);
  expect(
    computeMetrics(numbers, await said(regression.base, numbers, regression.found, scored), scored).pearson,
  ).toBeGreaterThan(0.9);

  const several: Task = { kind: "multi-label", labels: ["cats", "dogs", "all"], metrics: ["micro_f1"] };
  const marked = examplesOf(40, (label) => ({ labels: [label, 2] }));
  const multi = await fitted(several, marked, ["mean"]);
  expect(multi.found.scores!.metrics.micro_f1).toBeGreaterThan(0.9);

  const tags: Task = { kind: "token-classification", labels: ["B-C", "O"], metrics: ["accuracy"] };
  const words = Array.from({ length: 30 }, (_, index): Example => {
    const own = ["cc", "ab", "dd", "efg"].slice(index % 2);
    return { index, text: own.join(" "), words: own, labels: own.map((word) => (word === "dd" ? 0 : 1)) };
  });
  const tagged = await fitted(tags, words, ["family"]);
  expect(tagged.found.features).toBe("family");
  expect(computeMetrics(tags, await said(tagged.base, tags, tagged.found, words), words).accuracy).toBe(1);
});
