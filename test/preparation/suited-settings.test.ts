import { expect, test } from "vitest";
import { findMethod } from "../../src/methods/methods.ts";
import { suitedSettings } from "../../src/preparation/suited-settings.ts";
import { suitedTo } from "../../src/preparation/suited-to.ts";
import { trainingOptions, withRecipe } from "../../src/preparation/training-options.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";
import { learningRateFactor } from "../../src/training/optimizer/learning-rate.ts";

test.each([2, 8, 29, 100, 499, 2000, 80_000])("%i examples have steps that do something", (examples) => {
  for (const contrastive of [false, true]) {
    const { batchSize, epochs, warmupRatio } = suitedSettings({ examples, classes: 4 }, contrastive);
    const steps = epochs * Math.ceil(examples / batchSize);
    const factors = Array.from({ length: steps }, (_, step) => learningRateFactor(step, steps, { warmupRatio }));
    expect(factors.filter((factor) => factor > 0).length).toBeGreaterThanOrEqual(2);
    expect(epochs).toBeGreaterThanOrEqual(1);
  }
});

test("texts that are compared come in batches that have some of each class, no more than there are", () => {
  expect(suitedSettings({ examples: 29, classes: 4 }, true)).toMatchObject({ batchSize: 16, epochs: 12 });
  expect(suitedSettings({ examples: 256, classes: 4 }, true)).toMatchObject({ batchSize: 16, epochs: 4 });
  expect(suitedSettings({ examples: 800, classes: 50 }, true).batchSize).toBe(100);
});

const resolved = (
  given: object,
  kind = "classification",
  method = "aflora",
  { examples = 29, layers = 6, isNew = true } = {},
) =>
  withRecipe(trainingOptions.parse(given) as never, findMethod(method), {
    kind: findTaskKind(kind),
    size: { examples, classes: 4 },
    layers,
    isNew,
    suitsContrast: true,
  });

test("what is given wins over what suits the examples", () => {
  expect(resolved({})).toMatchObject({ contrastive: true, learningRate: 2e-2, batchSize: 16, headStart: "fitted" });
  expect(resolved({ epochs: 3 })).toMatchObject({ contrastive: true, epochs: 3 });
  expect(resolved({ learningRate: 1e-3 })).toMatchObject({ contrastive: false, learningRate: 1e-3, batchSize: 8 });
  expect(resolved({ contrastive: false })).toMatchObject({ contrastive: false, learningRate: 1e-2, epochs: 10 });
  expect(resolved({ headStart: "new" })).toMatchObject({ contrastive: false, batchSize: 64, epochs: 10 });
});

test("pictures and what is refined have rates of their own, where the method has them", () => {
  const rates = (method: string, kind = "image-classification") => {
    const { learningRate, headLearningRate } = resolved({ contrastive: false }, kind, method);
    return [learningRate, headLearningRate];
  };
  expect(rates("aflora")).toEqual([1e-3, 1e-3]);
  expect(rates("aflora", "regression")).toEqual([1e-2, 4e-3]);
  expect(rates("aflora", "embedding")).toEqual([4e-3, 4e-3]);
  expect(rates("lora")).toEqual([4e-4, 4e-4]);
});

test("LoRA learns twice as fast from 800 texts on in more than six blocks, if the head is fitted", () => {
  const rate = (layers: number, given: object = {}, kind = "regression", method = "lora", examples = 800) => {
    const { learningRate } = resolved({ contrastive: false, ...given }, kind, method, { layers, examples });
    return learningRate;
  };
  expect([rate(6), rate(7), rate(12)]).toEqual([4e-4, 8e-4, 8e-4]);
  expect(rate(12, {}, "regression", "lora", 799)).toBe(4e-4);
  expect(rate(12, { headStart: "new" })).toBe(4e-4);
  expect(rate(12, { learningRate: 1e-4 })).toBe(1e-4);
  expect(rate(12, { contrastive: true }, "classification")).toBe(2e-3);
  for (const kind of ["image-classification", "audio-classification", "embedding", "language-model"])
    expect(rate(12, {}, kind)).toBe(4e-4);
  for (const method of ["aflora", "lora-xs"])
    expect(rate(12, {}, "regression", method)).toBe(rate(6, {}, "regression", method));
});

test("a head that comes from an adapter takes steps, because it is not fitted again", () => {
  const { epochs } = resolved({ contrastive: false }, "classification", "head", { isNew: false });
  expect(epochs).toBeGreaterThan(0);
});

test("a classifier that trains alone starts anew, unless it is to be fitted", () => {
  expect(resolved({ head: "classifier" })).toMatchObject({ headStart: "new", contrastive: false });
  expect(resolved({ head: "classifier", headStart: "fitted" })).toMatchObject({ headStart: "fitted" });
});

test("a head alone takes no steps, and kinds with a recipe or a loss of batches keep their settings", () => {
  expect(resolved({}, "classification", "head")).toMatchObject({ contrastive: false, epochs: 0 });
  expect(resolved({ contrastive: false }, "language-model")).toMatchObject({ batchSize: 8, epochs: 3 });
  expect(resolved({ contrastive: false }, "embedding")).toMatchObject({ batchSize: 64, epochs: 10 });
});

test("contrast suits new runs on up to 400 single texts of up to five classes, of a model that embeds", () => {
  const suits = (
    count: number,
    {
      isNew = true,
      labels = ["a", "b"],
      ...more
    }: { isNew?: boolean; kind?: string; textPair?: string; labels?: string[] } = {},
  ) => {
    const train = Array.from({ length: count }, (_, index) => ({ index, text: "text", label: index % 2, ...more }));
    const task: TaskData = {
      name: "made up",
      kind: "classification",
      labels,
      metrics: [],
      validation: [],
      train,
      ...more,
    };
    return suitedTo(task, isNew, { config: { layerCount: 6 }, pooling: { mode: "mean", normalize: true } })
      .suitsContrast;
  };
  expect([suits(400), suits(401)]).toEqual([true, false]);
  expect([suits(40, { labels: [..."abcde"] }), suits(40, { labels: [..."abcdef"] })]).toEqual([true, false]);
  expect(suits(40, { isNew: false })).toBe(false);
  expect(suits(40, { textPair: "another" })).toBe(false);
  expect(suits(40, { kind: "multi-label" })).toBe(false);
});
