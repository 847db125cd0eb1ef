import fc from "fast-check";
import { expect, test } from "vitest";
import { cutMicroBatches } from "../../src/training/micro-batches.ts";

test("sorts by length and fills each micro-batch up to the budget", () => {
  expect(cutMicroBatches([5, 9, 2, 9, 4, 30], 20)).toEqual([[5], [1, 3], [0, 4, 2]]);
});

test("pads less by another micro-batch where that is worth a run", () => {
  expect(cutMicroBatches([100, 90, 10, 10], 512)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(cutMicroBatches([20, 18, 10, 10], 512)).toEqual([[0, 1, 2, 3]]);
});

test("an empty batch has no micro-batches", () => {
  expect(cutMicroBatches([], 512)).toEqual([]);
});

test("every row is in one micro-batch, within the budget unless alone", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 })), fc.integer({ min: 1, max: 600 }), (lengths, budget) => {
      const batches = cutMicroBatches(lengths, budget);
      expect(batches.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, row) => row));
      for (const rows of batches) {
        const longest = Math.max(...rows.map((row) => lengths[row]!));
        expect(lengths[rows[0]!]).toBe(longest);
        if (rows.length > 1) expect(rows.length * longest).toBeLessThanOrEqual(budget);
      }
    }),
  );
});
