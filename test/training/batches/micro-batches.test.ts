import fc from "fast-check";
import { expect, test } from "vitest";
import {
  cutMicroBatches as cutExamples,
  exampleSize,
  fitsOneRun,
} from "../../../src/training/batches/micro-batches.ts";

/** Sizes of examples with one row each and few outputs. */
const cutMicroBatches = (lengths: readonly number[], budget: number, padsRows = false): number[][] =>
  cutExamples(
    lengths.map((tokens) => ({ tokens, rows: 1 })),
    { tokens: budget, outputs: 2, padsRows },
  );

test("sorts by length and fills each micro-batch with tokens up to the budget", () => {
  expect(cutMicroBatches([5, 9, 2, 9, 4, 30], 20)).toEqual([[5], [1, 3], [0, 4, 2]]);
  // 352 tokens, which padding would make 640.
  const lengths = Array.from({ length: 32 }, (_, row) => 2 + (row % 19));
  expect(cutMicroBatches(lengths, 512)).toHaveLength(1);
});

test("avoids padding in attention by another run if that costs less", () => {
  expect(cutMicroBatches([200, 190, 10, 10], 512)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(cutMicroBatches([100, 90, 10, 10], 512)).toEqual([[0, 1, 2, 3]]);
});

test("avoids all padding if rows are padded, and counts it as tokens", () => {
  expect(cutMicroBatches([100, 98, 40, 39, 10], 512, true)).toEqual([
    [0, 1],
    [2, 3, 4],
  ]);
  expect(cutMicroBatches([60, 50, 40], 160, true)).toEqual([[0], [1, 2]]);
  expect(cutMicroBatches([60, 50, 40], 160)).toEqual([[0, 1, 2]]);
});

test("outputs as wide as a vocabulary are cut by the rows that have them", () => {
  // 2²⁵ numbers are 128 rows of 2¹⁸ outputs.
  const sizes = [100, 60, 60, 8].map((rows) => ({ tokens: 120, rows }));
  expect(cutExamples(sizes, { tokens: 512, outputs: 2 ** 18, padsRows: false })).toEqual([[0], [1, 2, 3]]);
  expect(cutExamples(sizes, { tokens: 512, outputs: 2 ** 10, padsRows: false })).toEqual([[0, 1, 2, 3]]);
  expect(cutExamples([{ tokens: 900, rows: 900 }], { tokens: 512, outputs: 2 ** 18, padsRows: false })).toEqual([[0]]);
});

test("an example has the tokens and the rows of all its texts, one row for a text that names none", () => {
  const encoding = { inputIds: new Int32Array(5), tokenTypeIds: new Int32Array(5) };
  expect(exampleSize({ encoding })).toEqual({ tokens: 5, rows: 1 });
  const texts = [{ encoding }, { encoding, decoder: encoding, rows: Int32Array.of(0, 4) }];
  expect(exampleSize({ encoding, rows: Int32Array.of(1, 2, 3), texts })).toEqual({ tokens: 20, rows: 6 });
});

test("a batch whose rows are coupled goes through in one run up to three budgets of tokens, pairs and outputs", () => {
  const fits = (lengths: readonly number[], padsRows = false, outputs = 2): boolean =>
    fitsOneRun(
      lengths.map((tokens) => ({ tokens, rows: 1 })),
      { tokens: 10, outputs, padsRows },
    );
  expect([fits([10, 10, 10]), fits([10, 10, 11])]).toEqual([true, false]);
  // Three padded texts of 28 tokens have 2352 pairs, and 30² are allowed.
  expect([fits([28, 1, 1]), fits([15, 1, 1, 1])]).toEqual([false, true]);
  expect([fits([15, 15], true), fits([15, 1, 1], true)]).toEqual([true, false]);
  expect([fits([5, 5], false, 2 ** 24), fits([5, 5], false, 2 ** 24 + 1)]).toEqual([true, false]);
  // A text cannot be cut.
  expect(fits([400])).toBe(true);
});

test("an empty batch has no micro-batches", () => {
  expect(cutMicroBatches([], 512)).toEqual([]);
});

test("every row is in one micro-batch, within the budget unless it is alone", () => {
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
