import { expect, test } from "vitest";
import { areSaturated, saturatesByteProducts } from "../../src/runtime/byte-products.ts";
import { runtime } from "../support/runtime.ts";

/** 64 products of the largest bytes, added in pairs with this number of bits, as a sum of ones. */
function sumOf(bits: number): number {
  const pair = Math.min(2 ** (bits - 1) - 1, 2 * 255 * 127);
  return (32 * pair) / (255 * 127);
}

test("saturated 16-bit sums differ from exact ones", () => {
  expect(areSaturated(Float32Array.of(sumOf(32)))).toBe(false);
  expect(areSaturated(Float32Array.of(sumOf(16)))).toBe(true);
});

test("products of the largest bytes are exact on any processor", async () => {
  expect(await saturatesByteProducts((outputs, weights) => runtime.compile(outputs, weights))).toBe(false);
});
