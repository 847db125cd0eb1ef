import { expect, test } from "vitest";
import { float32 } from "../../../src/graph/tensor.ts";
import { Turns } from "../../../src/runtime/turns.ts";
import { distanceToNearest, fitKnownFeatures } from "../../../src/training/novelty/known-features.ts";
import {
  learnNovelty,
  noveltyOf,
  noveltyScale,
  noveltyThreshold,
  sampleOf,
} from "../../../src/training/novelty/novelty.ts";
import { Predictor } from "../../../src/training/prediction/predictor.ts";
import { runtime } from "../../support/runtime.ts";
import { smallBert } from "../../support/small-bert.ts";
import { examplesOf } from "../small-run.ts";

/** Pseudorandom numbers between -1 and 1. */
const noise = (seed: number): number => 2 * ((Math.abs(Math.sin(seed) * 43758.5453) % 1) - 0.5);

function oneHot(own: number, classes: number) {
  const targets = float32([1, classes]);
  targets.data[own] = 1;
  return targets;
}

/** Two classes of six features: separated along the first, widely spread along the second and third, a little along all. */
const ROWS = Array.from({ length: 400 }, (_, i) => ({
  class: i % 2,
  row: Float32Array.from(
    { length: 6 },
    (_, j) => [i % 2, 0, 0, 0, 0, 0][j]! + [0.2, 3, 2][j < 3 ? j : 0]! * noise(7 * i + j + 1),
  ),
}));

test("distances are Mahalanobis distances, with a covariance shrunk half-way to equal spread in all directions", async () => {
  const known = await fitKnownFeatures(
    ROWS.map(({ row }) => row),
    ROWS.map((each) => each.class),
    2,
  );
  const meanOf = (own: number) => {
    const rows = ROWS.filter((each) => each.class === own).map(({ row }) => row);
    return Array.from({ length: 6 }, (_, j) => rows.reduce((sum, row) => sum + row[j]! / rows.length, 0));
  };
  const means = [meanOf(0), meanOf(1)];
  // Features are independent, so off-diagonal entries are close to 0.
  const variances = Array.from({ length: 6 }, (_, j) =>
    ROWS.reduce((sum, each) => sum + (each.row[j]! - means[each.class]![j]!) ** 2 / ROWS.length, 0),
  );
  const alike = variances.reduce((sum, each) => sum + each / 6, 0);
  const expected = (row: readonly number[]) =>
    Math.min(
      ...means.map((mean) => row.reduce((sum, x, j) => sum + (x - mean[j]!) ** 2 / (variances[j]! / 2 + alike / 2), 0)),
    );
  for (const row of [
    [0, 0, 0, 0, 0, 0],
    [1, 3, 0, 0, 0, 0],
    [0, 0, 0, 3, 0, 0],
    [0.5, -2, 2, 1, 1, -1],
  ]) {
    expect(distanceToNearest(known, Float32Array.from(row)) / expected(row)).toBeCloseTo(1, 1);
  }
  // The same distance along a direction in which classes spread is less unusual.
  const at = (...row: number[]) => distanceToNearest(known, Float32Array.from(row));
  expect(at(0, 3, 0, 0, 0, 0)).toBeLessThan(at(0, 0, 0, 0, 3, 0) / 2);
});

test("features that spread alike in all directions have the same weight in each", async () => {
  const rows = Array.from({ length: 4000 }, (_, i) => Float32Array.from({ length: 6 }, (_, j) => noise(6 * i + j + 1)));
  const known = await fitKnownFeatures(rows, Array(4000).fill(0), 1);
  for (let j = 0; j < 6; j++) {
    const row = new Float32Array(6).fill(1, j, j + 1);
    // The variance of numbers between -1 and 1 is 1/3.
    expect(distanceToNearest(known, row) / 3).toBeCloseTo(1, 1);
  }
});

test("classes whose rows are all equal have distances too", async () => {
  const rows = [
    [1, 0],
    [1, 0],
    [0, 1],
    [0, 1],
  ].map((row) => Float32Array.from(row));
  const known = await fitKnownFeatures(rows, [0, 0, 1, 1], 2);
  expect(distanceToNearest(known, Float32Array.of(1, 0))).toBe(0);
  expect(distanceToNearest(known, Float32Array.of(1, 1))).toBeGreaterThan(0);
});

test("the distribution of many wide rows gives way to other events, and ends if a signal aborts", async () => {
  const rows = Array.from({ length: 1000 }, (_, i) =>
    Float32Array.from({ length: 384 }, (_, j) => noise(1000 * i + j)),
  );
  const abort = new AbortController();
  setTimeout(() => abort.abort("stopped"));
  const classes = rows.map((_, i) => i % 2);
  await expect(fitKnownFeatures(rows, classes, 2, new Turns(abort.signal))).rejects.toBe("stopped");
});

test("novelty is standardized distance plus energy; for older adapters, plus 1 minus the highest probability", () => {
  const tensors = new Map([
    ["means", float32([2, 2], Float32Array.of(0, 0, 4, 0))],
    ["axes", float32([1, 2], Float32Array.of(0, 1))],
  ]);
  // Outputs are 1 and 1 + log 3, at (3, 2): the squared distance to the nearest mean is 2 (1² + 2²) - 2².
  const row = Float32Array.of(1, 1 + Math.log(3), 3, 2);
  const usual = { rest: 2, distance: { mean: 5, deviation: 0.5 }, scores: [0] };
  const of = (doubt: object) => noveltyOf({ ...noveltyScale.parse({ ...usual, doubt }), tensors }, row, 2);
  expect(of({ mean: -2, deviation: 0.1, of: "energy" })).toBeCloseTo(1 / 0.5 + (2 - 1 - Math.log(4)) / 0.1, 5);
  expect(of({ mean: 0.2, deviation: 0.1 })).toBeCloseTo(1 / 0.5 + (1 / 4 - 0.2) / 0.1, 5);
});

test("scores of validation examples are standardized, and saved in ascending order", async () => {
  const base = await smallBert(1);
  const adaptation = { modules: [], parameters: [], trainable: new Set<string>() };
  const model = { ...base, adaptation, trainsHead: () => false };
  const [train, held] = [examplesOf(30), examplesOf(54).slice(30)];
  const learnt = (part: { train?: typeof train; held?: typeof held }) =>
    learnNovelty(model, base.weights, runtime, { train, held, ...part }, { tokenBudget: 64 });
  const { doubt, scores, ...novelty } = (await learnt({}))!;
  const predictor = await Predictor.compile(model, base.weights, runtime, { tokenBudget: 64, withFeatures: true });
  const rows = await predictor.logits(held);
  await predictor.release();
  const energies = rows.map((row) => -Math.log(row.subarray(0, 3).reduce((sum, output) => sum + Math.exp(output), 0)));
  const mean = energies.reduce((sum, each) => sum + each / 24, 0);
  const variance = energies.reduce((sum, each) => sum + (each - mean) ** 2 / 24, 0);
  expect(doubt).toEqual({ of: "energy", mean: expect.closeTo(mean, 5), deviation: expect.closeTo(variance ** 0.5, 5) });
  const own = rows.map((row) => noveltyOf({ ...novelty, doubt, scores }, row, 3)).sort((a, b) => a - b);
  expect(scores).toEqual(own.map((score) => expect.closeTo(score, 3)));
  expect(scores.reduce((sum, score) => sum + score, 0)).toBeCloseTo(0, 6);
  for (const [name, { shape, data }] of novelty.tensors) expect(shape[0]! * shape[1]!, name).toBe(data.length);

  expect(await learnt({ held: held.slice(5) })).toBeUndefined();
  expect(await learnt({ train: train.filter(({ label }) => label !== 1) })).toBeUndefined();
});

test("a sample has about a thousand examples, and at least one of each class", () => {
  const classes = Array.from({ length: 5000 }, (_, i) => (i < 60 ? Math.floor(i / 2) : 30));
  const sample = sampleOf(classes.map((own) => ({ targets: oneHot(own, 31) })));
  const seen = new Set(sample.map(({ targets }) => targets.data.indexOf(1)));
  expect(seen.size).toBe(31);
  expect(sample.length).toBeLessThan(1031);
});

test("at most the requested share of known texts is above the threshold; few examples cannot show a small share", () => {
  const scores = Array.from({ length: 99 }, (_, i) => i);
  expect(noveltyThreshold({ scores }, 0.05)).toBe(94);
  expect(noveltyThreshold({ scores }, 0.01)).toBe(98);
  expect(noveltyThreshold({ scores }, 0.009)).toBeUndefined();
});
