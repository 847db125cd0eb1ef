import { beforeAll, expect, test } from "vitest";
import { float32, type Tensors } from "../../src/graph/tensor.ts";
import { lora } from "../../src/methods/lora.ts";
import type { Schedule } from "../../src/methods/method.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { estimateMemory, type MemoryEstimate } from "../../src/training/memory-estimate.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import type { TrainingSettings } from "../../src/training/train-options.ts";
import { Bench, smallBert } from "../support/small-bert.ts";
import { SETTINGS } from "./small-run.ts";

/** A reward model on the small BERT. */
let model: AdaptedModel;
let weights: Tensors;
beforeAll(async () => {
  const base = await smallBert(1);
  const head = base.weights.get("classifier.weight")!;
  const own = new Map(base.weights);
  own.set("classifier.weight", float32([1, head.shape[1]!], head.data.slice(0, head.shape[1])));
  own.set("classifier.bias", float32([1]));
  ({ model, weights } = Bench.create({ ...base, labelCount: 1, weights: own }, lora));
});

/** Examples of some answers each, all as long. */
const examplesOf = (answers: number): TrainingExample[] =>
  Array.from({ length: 12 }, (_, index) => {
    const encoding = { inputIds: new Int32Array(10).fill(7), tokenTypeIds: new Int32Array(10) };
    const texts = Array.from({ length: answers - 1 }, () => ({ encoding }));
    const targets = float32([answers, 2]);
    return { index, encoding, texts, targets, weights: new Float32Array(answers).fill(1) };
  });

interface Run extends Pick<Schedule, "frozenBlocks"> {
  settings?: Partial<TrainingSettings>;
  /** The default is as few as a batch can have. */
  tokenBudget?: number;
}

function memoryOf(
  train: TrainingExample[],
  encoded: TrainingExample[],
  { settings = {}, frozenBlocks, tokenBudget = 1 }: Run = {},
): MemoryEstimate {
  const examples = encoded.map(({ index }) => ({ index, text: "" }));
  const schedule = { trainable: () => model.adaptation.trainable, ...(frozenBlocks && { frozenBlocks }) };
  const task = { kind: "reward", labels: [], metrics: [] };
  const validation = [{ name: "validation", examples, encoded }];
  const estimate = estimateMemory({
    ...{ model, schedule, weights, task, train, sample: train, validation },
    settings: { ...SETTINGS, ...settings },
  });
  return estimate(tokenBudget);
}

test("texts that a loss needs at once take memory together in training, and one by one in an evaluation", () => {
  const [singles, pairs] = [examplesOf(1), examplesOf(2)];
  const { activations } = memoryOf(pairs, singles);
  expect(activations).toBeGreaterThan(1.3 * memoryOf(singles, singles).activations);
  expect(memoryOf(pairs, pairs).activations).toBe(activations);
});

test("a step takes memory for the texts of one batch, however many rows there are", () => {
  const [some, evaluated] = [examplesOf(1), examplesOf(1).slice(0, 1)];
  const whole = { tokenBudget: 2 ** 20 };
  expect(memoryOf([...some, ...some], evaluated, whole)).toEqual(memoryOf(some, evaluated, whole));
});

test("each output of an evaluation takes four bytes", () => {
  const some = examplesOf(1);
  const [few, twice] = [some, [...some, ...some]].map((evaluated) => memoryOf(some, evaluated).activations);
  expect(twice! - few!).toBe(4 * some.length);
});

test("each parameter that trains takes two moments, a gradient and two copies", () => {
  const trained = [...model.adaptation.trainable, "classifier.weight", "classifier.bias"];
  const bytes = trained.reduce((sum, name) => sum + weights.get(name)!.data.byteLength, 0);
  expect(memoryOf(examplesOf(1), examplesOf(1)).optimizer).toBe(5 * bytes);
});

test("hidden states of frozen blocks take four bytes per feature of each token, up to the memory that they are given", () => {
  const examples = examplesOf(2);
  const frozenBlocks = () => ({ count: 1, parameters: new Set<string>() });
  const withMemory = (freezeBlocksMemory: number) =>
    memoryOf(examples, examples, { frozenBlocks, settings: { freezeBlocksCache: "float32", freezeBlocksMemory } });
  expect(withMemory(1000).hiddenStates).toBe(examples.length * 2 * 10 * model.config.hiddenSize * 4);
  expect(withMemory(0.001).hiddenStates).toBe(1000);
  expect(memoryOf(examples, examples)).not.toHaveProperty("hiddenStates");
});
