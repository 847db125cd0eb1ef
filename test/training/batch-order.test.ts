import fc from "fast-check";
import { expect, test } from "vitest";
import { epochOrder } from "../../src/training/batch-order.ts";

test("is a permutation, the same for the same seed and epoch", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(20), fc.nat(200), (seed, epoch, count) => {
      const order = epochOrder(seed, epoch, count);
      expect(order.toSorted()).toEqual(Uint32Array.from({ length: count }, (_, i) => i));
      expect(epochOrder(seed, epoch, count)).toEqual(order);
    }),
  );
});

test("near seeds and epochs have unrelated orders", () => {
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
      // A random permutation has 1 fixed point on average, and 8 or more once in 100,000.
      expect(a.filter((value, k) => value === b[k]).length).toBeLessThan(8);
    }
  }
});

test("every order of three examples comes up equally often", () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 6000; seed++) {
    const order = epochOrder(seed, 0, 3).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  // Binomial with mean 1000 and deviation 29.
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(4 * 29);
});
