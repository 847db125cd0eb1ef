import fc from "fast-check";
import { expect, test } from "vitest";
import { Batches, epochBatches, epochOrder, stepsPerEpoch } from "../../../src/training/batches/batch-order.ts";

test("is a permutation, the same for the same seed and epoch", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(20), fc.nat(200), (seed, epoch, count) => {
      const order = epochOrder(seed, epoch, count);
      expect(order.toSorted()).toEqual(Uint32Array.from({ length: count }, (_, i) => i));
      expect(epochOrder(seed, epoch, count)).toEqual(order);
    }),
  );
});

test("close seeds and epochs have unrelated orders", () => {
  const count = 1000;
  const orders = [
    epochOrder(42, 0, count),
    epochOrder(42, 1, count),
    epochOrder(43, 0, count),
    epochOrder(43, 1, count),
  ];
  orders.push(Uint32Array.from({ length: count }, (_, i) => i));
  for (const [i, a] of orders.entries()) {
    for (const b of orders.slice(i + 1)) {
      // A random permutation has 1 fixed point on average, and 8 or more in 1 of 100,000 cases.
      expect(a.filter((value, k) => value === b[k]).length).toBeLessThan(8);
    }
  }
});

test("all orders of three examples are equally frequent", () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 6000; seed++) {
    const order = epochOrder(seed, 0, 3).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  // Binomial distribution with mean 1000 and deviation 29.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(4 * 29);
});

test("examples that share a value are never in one batch, and few are left out of an epoch", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(12), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 9 }),
      (texts, size) => {
        // As in pairs: an anchor of its own, and an answer that others may share.
        const examples = texts.map((text, i) => ({ oncePerBatch: [`anchor ${i}`, `answer ${text}`] }));
        const batches = epochBatches(7, 1, examples, size);
        expect(batches).toHaveLength(stepsPerEpoch(texts.length, size));
        for (const batch of batches) {
          const held = batch.flatMap((i) => examples[i]!.oncePerBatch);
          expect(new Set(held).size).toBe(held.length);
          expect(batch.length).toBeLessThanOrEqual(size);
        }
        const taken = batches.flat();
        expect(new Set(taken).size).toBe(taken.length);
        // The answer of an example that is left out is in every batch that has space.
        for (const i of examples.keys()) {
          if (taken.includes(i)) continue;
          const open = batches.filter((batch) => batch.length < size);
          expect(open.every((batch) => batch.some((other) => texts[other] === texts[i]))).toBe(true);
        }
      },
    ),
  );
});

test("a batch knows the examples of the next seven batches of its epoch", () => {
  const examples: { index: number; oncePerBatch?: readonly string[] }[] = Array.from({ length: 30 }, (_, index) => ({
    index,
  }));
  const batches = new Batches(examples, { seed: 3, epochs: 2, batchSize: 3 });
  const taken = Array.from({ length: 20 }, (_, step) => batches.at(step).examples);
  for (const step of [0, 1, 5, 9, 10, 19]) {
    const end = Math.min(step + 8, step < 10 ? 10 : 20);
    expect(batches.at(step).ahead(), `step ${step}`).toEqual(taken.slice(step + 1, end).flat());
  }
});
