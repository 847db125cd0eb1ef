import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { calibrationError, confidenceSteps, reliability, thresholdFor } from "../../src/tasks/metrics/calibration.ts";
import { calibrate, withTemperature } from "../../src/training/calibration/calibrate.ts";
import { exampleOf, LABELS, randomModel } from "../support/random-model.ts";
import { runtime } from "../support/runtime.ts";
import { readJson } from "../support/small-bert.ts";

test("predictions are grouped into fifteen bins by probability", () => {
  const bins = reliability([0, 0.05, 0.95, 1, 0.5, 0.5], [false, true, true, true, true, false]);
  expect(bins).toEqual([
    { count: 2, confidence: 0.025, accuracy: 0.5 },
    { count: 2, confidence: 0.5, accuracy: 0.5 },
    { count: 2, confidence: 0.975, accuracy: 1 },
  ]);
  // Computed by hand: (2 · 0.475 + 2 · 0 + 2 · 0.025) / 6
  expect(calibrationError(bins)).toBeCloseTo(1 / 6, 12);
  expect(calibrationError(reliability([1, 1], [true, true]))).toBe(0);
  const centres = Array.from({ length: 15 }, (_, i) => (i + 0.5) / 15);
  expect(reliability(centres, Array(15).fill(true))).toHaveLength(15);
});

test("the threshold is the lowest one with enough correct predictions, with one more counted as wrong", () => {
  // The eight most confident predictions are right, then every other one.
  const probabilities = Array.from({ length: 20 }, (_, i) => 1 - i / 40);
  const right = probabilities.map((_, i) => i < 8 || i % 2 === 0);
  const steps = confidenceSteps(probabilities, right);
  expect(steps[0]).toEqual({ probability: 1, kept: 1, right: 1 });
  expect(steps.at(-1)).toEqual({ probability: 1 - 19 / 40, kept: 20, right: 14 });
  // 9 of 9 and one more: 0.9; 10 of 11 and one more: 0.83.
  expect(thresholdFor(steps, 0.9)).toBeCloseTo(1 - 8 / 40, 12);
  expect(thresholdFor(steps, 0.95)).toBeUndefined();
  // Predictions of equal confidence cannot be separated.
  expect(confidenceSteps([0.9, 0.9, 0.9], [true, false, true])).toEqual([{ probability: 0.9, kept: 3, right: 2 }]);
  const many = Array.from({ length: 1000 }, (_, i) => i / 1000);
  const shortened = confidenceSteps(
    many,
    many.map(() => true),
  );
  expect(shortened).toHaveLength(100);
  expect([shortened[0], shortened.at(-1)]).toEqual([
    { probability: 0.99, kept: 10, right: 10 },
    { probability: 0, kept: 1000, right: 1000 },
  ]);
});

test("only the head's last layer is divided by the temperature", () => {
  const tensors = new Map(
    ["classifier.weight", "classifier.bias", "a.lora_A"].map((name) => [name, float32([2], Float32Array.of(2, 4))]),
  );
  const found = withTemperature(tensors, "classifier", 2);
  expect([...found].map(([name, { data }]) => [name, ...data])).toEqual([
    ["classifier.weight", 1, 2],
    ["classifier.bias", 1, 2],
    ["a.lora_A", 2, 4],
  ]);
});

test("outputs that other rows scaled already keep their scale the more of these there are", async () => {
  const { model, weights } = randomModel(readJson("models/bert-1/config.json"), "lora", LABELS);
  const examples = Array.from({ length: 12 }, (_, index) => exampleOf(6, index));
  const temperatureAt = async (known: number): Promise<number> => {
    const options = { loss: "softmax", known, tokenBudget: 512 } as const;
    return (await calibrate(model, weights, runtime, examples, options)).temperature;
  };
  const [alone, some, many] = [await temperatureAt(0), await temperatureAt(50), await temperatureAt(1e6)];
  // Random weights are far from calibrated.
  expect(Math.abs(Math.log(alone))).toBeGreaterThan(0.1);
  expect(Math.abs(Math.log(some))).toBeLessThan(0.8 * Math.abs(Math.log(alone)));
  expect(many).toBeCloseTo(1, 3);
});

test("a thousand examples are measured however many classes there are", async () => {
  const classes = 16_000;
  const { model, weights } = randomModel(readJson("models/bert-1/config.json"), "lora", classes);
  const targets = float32([1, classes]);
  const examples = Array.from({ length: 1200 }, (_, index) => ({ ...exampleOf(4, index), targets }));
  const stop = new AbortController();
  const reason = new Error("stopped");
  let measured: number | undefined;
  const measuring = calibrate(model, weights, runtime, examples, {
    ...{ loss: "softmax", known: 0, tokenBudget: 64, signal: stop.signal },
    // The first few examples are enough to see how many there are to be.
    onDone(_, of) {
      measured = of;
      stop.abort(reason);
    },
  });
  await expect(measuring).rejects.toBe(reason);
  expect(measured).toBe(1000);
});
