import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { calibrationError, reliability } from "../../src/tasks/metrics/calibration.ts";
import { cooled } from "../../src/training/calibrate.ts";

test("predictions fall into fifteen bins by their probability", () => {
  const bins = reliability([0, 0.05, 0.95, 1, 0.5, 0.5], [false, true, true, true, true, false]);
  expect(bins).toEqual([
    { count: 2, confidence: 0.025, accuracy: 0.5 },
    { count: 2, confidence: 0.5, accuracy: 0.5 },
    { count: 2, confidence: 0.975, accuracy: 1 },
  ]);
  // By hand: (2 · 0.475 + 2 · 0 + 2 · 0.025) / 6
  expect(calibrationError(bins)).toBeCloseTo(1 / 6, 12);
  expect(calibrationError(reliability([1, 1], [true, true]))).toBe(0);
});

test("the head's last layer is divided by the temperature, and nothing else is", () => {
  const tensors = new Map(
    ["classifier.weight", "classifier.bias", "a.lora_A"].map((name) => [name, float32([2], Float32Array.of(2, 4))]),
  );
  const found = cooled(tensors, "classifier", 2);
  expect([...found].map(([name, { data }]) => [name, ...data])).toEqual([
    ["classifier.weight", 1, 2],
    ["classifier.bias", 1, 2],
    ["a.lora_A", 2, 4],
  ]);
});
