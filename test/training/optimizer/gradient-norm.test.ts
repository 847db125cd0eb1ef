import { expect, test } from "vitest";
import { float32 } from "../../../src/graph/tensor.ts";
import { clippingFactor, globalNorm, scaleGradients } from "../../../src/training/optimizer/gradient-norm.ts";

const vector = (...values: number[]) => float32([values.length], Float32Array.from(values));

const gradients = () =>
  new Map([
    ["a", vector(3, 0)],
    ["b", vector(-4)],
  ]);

test("the norm is that of all gradients together", () => {
  expect(globalNorm(gradients())).toBe(5);
});

test("the factor clips to the norm, like PyTorch with its 1e-6, and does not change smaller gradients", () => {
  expect(clippingFactor(5, 0.1)).toBe(0.1 / (5 + 1e-6));
  expect(clippingFactor(5, 6)).toBe(1);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])("a norm of %d is returned, and its factor is 1", (value) => {
  expect(globalNorm(new Map([...gradients(), ["c", vector(value)]]))).toBe(value);
  expect(clippingFactor(value, 0.1)).toBe(1);
});

test("scales in place", () => {
  const scaled = gradients();
  scaleGradients(scaled, 0.3);
  expect(scaled.get("a")).toEqual(vector(3 * 0.3, 0));
  expect(scaled.get("b")).toEqual(vector(-4 * 0.3));
});

test("large finite gradients do not overflow", () => {
  expect(globalNorm(new Map([["a", vector(3e38, 3e38)]])) / (3e38 * Math.SQRT2)).toBeCloseTo(1, 6);
});
