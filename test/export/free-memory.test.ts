import { expect, it } from "vitest";
import { freeMemory } from "../../src/export/free-memory-node.ts";
import { float32 } from "../../src/graph/tensor.ts";

it("large arrays are freed, even if they share a buffer; small ones stay", async () => {
  const large = float32([2 ** 18]);
  const view = float32([10], large.data.subarray(5, 15));
  const small = float32([10]);
  await freeMemory([large, view, small]);
  expect([large, view, small].map(({ data }) => data.length)).toEqual([0, 0, 10]);
});
