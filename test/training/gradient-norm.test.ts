import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { clipGradients, globalNorm } from "../../src/training/gradient-norm.ts";

const vector = (...values: number[]) => float32([values.length], Float32Array.from(values));

const gradients = () =>
  new Map([
    ["a", vector(3, 0)],
    ["b", vector(-4)],
  ]);

test("the norm is that of all gradients together", () => {
  expect(globalNorm(gradients())).toBe(5);
});

test("clips to the norm, as PyTorch does with its 1e-6, and returns the norm before", () => {
  const clipped = gradients();
  expect(clipGradients(clipped, 0.1)).toBe(5);
  const scale = 0.1 / (5 + 1e-6);
  expect(clipped.get("a")).toEqual(vector(3 * scale, 0));
  expect(clipped.get("b")).toEqual(vector(-4 * scale));
});

test("leaves smaller gradients as they are", () => {
  const small = gradients();
  expect(clipGradients(small, 6)).toBe(5);
  expect(small).toEqual(gradients());
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])("reports %d and changes nothing", (value) => {
  const broken = new Map([...gradients(), ["c", vector(value)]]);
  expect(clipGradients(broken, 0.1)).toBe(value);
  expect(broken.get("a")).toEqual(vector(3, 0));
});

test("large finite gradients do not overflow", () => {
  expect(globalNorm(new Map([["a", vector(3e38, 3e38)]])) / (3e38 * Math.SQRT2)).toBeCloseTo(1, 6);
});
