import { expect, test } from "vitest";
import { estimateWorkers, secondsWith, type TimedStepParts } from "../../src/studies/workers-estimate.ts";

/** Eight shards of a second; a megabyte is a second at 8 Mb/s. */
const shard = { seconds: 1, sent: 0, returned: 1e6 };
const step: TimedStepParts = { own: 0.5, values: 2e6, parts: [Array.from({ length: 8 }, () => shard)] };

test("workers share a step's shards, and the server's link carries one message at a time", () => {
  // Nothing on the way: the shards of two workers, one after another.
  expect(secondsWith(step, { workers: 2, network: 1e9 })).toBeCloseTo(0.5 + 4, 6);
  // One worker: what trains, then each shard and its way back.
  expect(secondsWith(step, { workers: 1, network: 8 })).toBeCloseTo(0.5 + 2 + 8 * 2, 9);
  // Two: what trains, the first shard, then one result after another.
  expect(secondsWith(step, { workers: 2, network: 8 })).toBeCloseTo(0.5 + 2 + 1 + 8 * 1, 9);
  // Eight wait for what trains, 16 seconds in all; then the last one computes, and its result comes back.
  expect(secondsWith(step, { workers: 8, network: 8 })).toBeCloseTo(0.5 + 16 + 2, 9);
  // Shards of a second graph wait for those of the first; what trains is there already.
  const coupled = { ...step, parts: [[shard], [shard]] };
  expect(secondsWith(coupled, { workers: 1, network: 8 })).toBeCloseTo(0.5 + 2 + 2 + 2, 9);
});

test("an estimate gives a step's time with workers, and its traffic", () => {
  const found = estimateWorkers([step, step, { ...step, own: 100 }], 8.5, { workers: 4, network: 1e9 });
  expect(found).toMatchObject({ workers: 4, shards: 8, values: 2e6, returned: 8e6 });
  expect(found.step).toBeCloseTo(2.5, 6);
  expect(found.speedup).toBeCloseTo(3.4, 6);
  expect(found.efficiency).toBeCloseTo(0.85, 6);
});
