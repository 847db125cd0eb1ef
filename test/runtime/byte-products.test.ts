import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { areCut, cutsByteProducts } from "../../src/runtime/byte-products.ts";
import { runtime } from "../support/runtime.ts";

/** 64 products of the largest bytes, added two by two in so many bits, as a sum of ones. */
function sumOf(bits: number): number {
  const pair = Math.min(2 ** (bits - 1) - 1, 2 * 255 * 127);
  return (32 * pair) / (255 * 127);
}

test("sums that 16 bits do not hold are known from those that are whole", () => {
  expect(areCut(Float32Array.of(sumOf(32)))).toBe(false);
  expect(areCut(Float32Array.of(sumOf(16)))).toBe(true);
});

test("this processor's products of bytes are whole where it has VNNI, or is no x86", async ({ skip }) => {
  if (process.arch === "x64") {
    if (process.platform !== "linux") skip("the system does not say whether the processor has VNNI");
    if (!/\bavx(512)?_vnni\b/.test(readFileSync("/proc/cpuinfo", "utf8"))) skip("the processor has no VNNI");
  }
  expect(await cutsByteProducts(runtime)).toBe(false);
});
