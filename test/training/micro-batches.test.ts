import fc from "fast-check";
import { expect, test } from "vitest";
import { cutMicroBatches } from "../../src/training/micro-batches.ts";

test("sorts by length and fills each micro-batch with tokens up to the budget", () => {
  expect(cutMicroBatches([5, 9, 2, 9, 4, 30], 20)).toEqual([[5], [1, 3], [0, 4, 2]]);
  // 352 tokens, of which padding would make 640.
  const lengths = Array.from({ length: 32 }, (_, row) => 2 + (row % 19));
  expect(cutMicroBatches(lengths, 512)).toHaveLength(1);
});

test("spares attention's padding by another run where that is worth it", () => {
  expect(cutMicroBatches([200, 190, 10, 10], 512)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(cutMicroBatches([100, 90, 10, 10], 512)).toEqual([[0, 1, 2, 3]]);
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
        if (rows.length === 1) continue;
        expect(rows.reduce((sum, row) => sum + lengths[row]!, 0)).toBeLessThanOrEqual(budget);
        expect(rows.length * longest * longest).toBeLessThanOrEqual(budget * budget);
      }
    }),
  );
});
