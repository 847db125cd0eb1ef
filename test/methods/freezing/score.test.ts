import fc from "fast-check";
import { expect, test } from "vitest";
import { foldIntoWindow, kthSmallest, updateAverages } from "../../../src/methods/freezing/score.ts";

const values = fc
  .float32Array({ min: 0, noNaN: true, minLength: 1, maxLength: 50 })
  .map((array) => array.map(Math.abs));

test("kthSmallest matches sorting, with infinities and equal values", () => {
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 5 }), fc.nat(), (parts, pick) => {
      const sorted = Float32Array.from(parts.flatMap((part) => [...part])).sort();
      const k = 1 + (pick % sorted.length);
      expect(kthSmallest(() => parts, k)).toBe(sorted[k - 1]);
    }),
  );
});

test("kthSmallest distinguishes neighbouring floats", () => {
  const part = new Float32Array(Uint32Array.of(0x3f800002, 0x3f800000, 0x3f800001).buffer);
  expect(kthSmallest(() => [part], 2)).toBe(part[2]);
});

test("the averages follow the paper's formulas", () => {
  const state = { average: Float32Array.of(1), uncertainty: Float32Array.of(2) };
  updateAverages(state, Float32Array.of(3), 0.5, 0.75);
  expect(state).toEqual({ average: Float32Array.of(2), uncertainty: Float32Array.of(1.75) });
});

test("a window holds the mean of its values", () => {
  const window = Float32Array.of(2);
  foldIntoWindow(window, Float32Array.of(4), 1);
  foldIntoWindow(window, Float32Array.of(9), 2);
  expect(window[0]).toBe(5);
});
