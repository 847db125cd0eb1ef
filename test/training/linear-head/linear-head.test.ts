import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { LinearLoss } from "../../../src/tasks/losses/objective.ts";
import { bestFactor } from "../../../src/training/calibration/temperature.ts";
import { crossValidate } from "../../../src/training/linear-head/cross-validation.ts";
import { canonicalOrder, Design, type FeatureRows } from "../../../src/training/linear-head/design.ts";
import { drawFolds, sampleRows } from "../../../src/training/linear-head/folds.ts";
import {
  choosePenalty,
  fitLinear,
  isWorse,
  rescaled,
  scaledBy,
} from "../../../src/training/linear-head/linear-head.ts";
import { minimise } from "../../../src/training/linear-head/newton.ts";

interface Case {
  loss: LinearLoss;
  penalty: number;
  features: number[][];
  targets: number[][];
  weights: number[];
  coefficients: number[][];
  bias: number[];
}

const cases: Case[] = JSON.parse(await readFile(new URL("../../fixtures/linear-head.json", import.meta.url), "utf8"));

const rowsOf = (features: number[][], targets: number[][], weights = features.map(() => 1)): FeatureRows => ({
  rows: features.length,
  width: features[0]!.length,
  outputs: targets[0]!.length,
  features: Float32Array.from(features.flat()),
  targets: Float32Array.from(targets.flat()),
  weights: Float32Array.from(weights),
});

const apart = (found: Float64Array, expected: number[]): number =>
  Math.max(...expected.map((each, i) => Math.abs(each - found[i]!)));

test.each(cases.map((each, i) => [i, each] as const))("case %i is what scikit-learn comes to", (_, given) => {
  const rows = rowsOf(given.features, given.targets, given.weights);
  const design = new Design(rows, canonicalOrder(rows));
  const { loss } = given;
  const penalty = given.penalty / design.scale ** 2;
  const start = new Float64Array(rows.outputs * design.width);
  const { weight, bias } = design.functionOf(minimise(design, { loss, penalty, tolerance: 1e-8 }, start));
  expect(apart(weight, given.coefficients.flat())).toBeLessThan(1e-5);
  expect(apart(bias, given.bias)).toBeLessThan(1e-5);
});

/** Rows of three classes about centres of their own. */
function clusters(rows: number, width: number, spread: number): FeatureRows & { labels: number[] } {
  let state = 1;
  const random = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647 - 0.5;
  };
  const centres = Array.from({ length: 3 }, () => Array.from({ length: width }, random));
  const labels = Array.from({ length: rows }, (_, row) => row % 3);
  const features = labels.map((label) => centres[label]!.map((each) => each + spread * random()));
  return {
    ...rowsOf(
      features,
      labels.map((label) => [0, 1, 2].map((k) => (k === label ? 1 : 0))),
    ),
    labels,
  };
}

test("a fit is the same to the bit in whatever order rows come", () => {
  const { labels, ...given } = clusters(60, 8, 3);
  const turned = labels.map((_, row) => 59 - row);
  const reversed: FeatureRows = {
    ...given,
    features: Float32Array.from(turned.flatMap((row) => [...given.features.subarray(8 * row, 8 * row + 8)])),
    targets: Float32Array.from(turned.flatMap((row) => [...given.targets.subarray(3 * row, 3 * row + 3)])),
  };
  const choose = (rows: FeatureRows, strata: number[]) => {
    const choice = choosePenalty(rows, "softmax", { strata });
    return { choice, found: fitLinear(rows, "softmax", choice, { strata }) };
  };
  const [first, second] = [
    choose(given, labels),
    choose(
      reversed,
      turned.map((row) => labels[row]!),
    ),
  ];
  expect(second.found).toEqual(first.found);
  expect(second.choice.penalty).toBe(first.choice.penalty);
  expect(second.choice.factor).toBe(first.choice.factor);
});

test("outputs of held-out rows come from fits that did not see them", () => {
  // Features that say nothing of the labels: whoever sees a row knows its label, and others do not.
  const rows = 40;
  const features = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: rows }, (_, j) => (j === row ? 1 : 0)),
  );
  const labels = features.map((_, row) => row % 2);
  const given = rowsOf(
    features,
    labels.map((label) => (label === 1 ? [0, 1] : [1, 0])),
  );
  const weakest = crossValidate(given, "softmax", { strata: labels }, [1e-3])[0]!;
  const right = [...weakest.rows].filter(
    (row, i) => weakest.logits[2 * i + labels[row]!]! > weakest.logits[2 * i + 1 - labels[row]!]!,
  );
  expect(right.length).toBeLessThan(rows / 2 + 10);
  expect(fitLinear(given, "softmax", { penalty: 1e-3, factor: 1 }).weight[0]).toBeGreaterThan(1);
});

test("each fold has its share of each class, groups stay whole, and a class's only row always trains", () => {
  const order = Int32Array.from({ length: 41 }, (_, row) => row);
  const strata = [...order].map((row) => (row === 40 ? 2 : row < 30 ? 0 : 1));
  const draws = drawFolds(order, { strata }, { folds: 5, draws: 3 });
  for (const foldOf of draws) {
    expect(foldOf[40]).toBe(-1);
    for (let fold = 0; fold < 5; fold++) {
      const own = [...order].filter((row) => foldOf[row] === fold);
      expect(own.filter((row) => strata[row] === 0)).toHaveLength(6);
      expect(own.filter((row) => strata[row] === 1)).toHaveLength(2);
    }
  }
  expect(draws[0]).not.toEqual(draws[1]);
  const groups = [...order].map((row) => Math.floor(row / 4));
  const [whole] = drawFolds(order, { groups }, { folds: 3, draws: 1 });
  for (const row of order) expect(whole![row]).toBe(whole![4 * Math.floor(row / 4)]);
});

test("a sample has of each class its share", () => {
  const order = Int32Array.from({ length: 100 }, (_, row) => row);
  const strata = [...order].map((row) => (row < 80 ? 0 : 1));
  const sample = sampleRows(order, { strata }, 25);
  expect(sample).toHaveLength(25);
  expect([...sample].filter((row) => row >= 80)).toHaveLength(5);
});

test("the best factor gives outputs the sureness that they deserve", () => {
  // Of ten rows with one output, seven are right: log 7/3 is what they should say.
  const rowsOf = (count: number, share: number) => ({
    outputs: 1,
    logits: new Float64Array(count).fill(0.25),
    targets: Float64Array.from({ length: count }, (_, i) => (i % 10 < 10 * share ? 1 : 0)),
    weights: new Float64Array(count).fill(1),
  });
  const rows = rowsOf(10_000, 0.7);
  expect(0.25 * bestFactor(rows, "sigmoid")).toBeCloseTo(Math.log(7 / 3), 2);
  expect(bestFactor(rows, "squared")).toBe(1);
  // Four that are all right do not make a model sure.
  const few = bestFactor(rowsOf(4, 1), "sigmoid");
  expect(few).toBeGreaterThan(1);
  expect(few).toBeLessThan(2);
  // Nor do they say much beside a thousand by which it was scaled before.
  expect(bestFactor(rowsOf(4, 1), "sigmoid", 1000)).toBeCloseTo(1, 2);
});

test("the factor of a fit suits rows that it did not see", () => {
  // Labels of 40 directions that each say a little.
  let state = 7;
  const random = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const drawn = (count: number) => {
    const features = Array.from({ length: count }, () => Array.from({ length: 40 }, () => random() - 0.5));
    const labels = features.map((row) => {
      const logit = row.reduce((sum, value, j) => sum + value * ((j % 5) - 2), 0);
      return random() < 1 / (1 + Math.exp(-logit)) ? 1 : 0;
    });
    const targets = labels.map((label) => [1 - label, label]);
    return { strata: labels, features, targets, rows: rowsOf(features, targets) };
  };
  const others = drawn(2000);
  const { targets, weights } = others.rows;
  /** How far, as a logarithm, a fit's factor is from the one that suits others. */
  const offOf = ({ weight, bias }: ReturnType<typeof fitLinear>): number => {
    const logits = others.features.flatMap((row) =>
      [0, 1].map((k) => row.reduce((sum, value, j) => sum + value * weight[40 * k + j]!, bias[k]!)),
    );
    const rows = { outputs: 2, logits: Float64Array.from(logits), targets: Float64Array.from(targets) };
    return Math.log(bestFactor({ ...rows, weights: Float64Array.from(weights) }, "softmax"));
  };
  const offs = Array.from({ length: 6 }, () => {
    const { rows, strata } = drawn(150);
    const [plain] = crossValidate(rows, "softmax", { strata }, [0.3]);
    const choices = [rescaled(rows, "softmax", plain!, { strata }), plain!];
    return choices.map((choice) => offOf(fitLinear(rows, "softmax", choice, { strata })));
  });
  const [own, plain] = [0, 1].map((i) => offs.reduce((sum, off) => sum + off[i]! / offs.length, 0));
  expect(Math.abs(own!)).toBeLessThan(0.05);
  expect(plain).toBeLessThan(-0.05);
});

test("cross-validation scales a fit of all rows, of enough for each class, and not of thousands", () => {
  const scaled = ([2000, 2001, 20, 19] as const).map((rows) => scaledBy({ rows, width: 384, outputs: 4 }));
  expect(scaled).toEqual([2000, 0, 20, 0]);
  // Of so many classes a fit takes a part of the rows.
  expect(scaledBy({ rows: 2000, width: 1024, outputs: 400 })).toBe(0);
});

test("the penalty is strong where features say nothing, and weak where a small one says all", () => {
  const { labels: strata, ...noise } = clusters(60, 30, 1e3);
  const strong = choosePenalty(noise, "softmax", { strata });
  // Of outputs that say nothing no more is left than of none.
  const loss = strong.losses.reduce((sum, each) => sum + each, 0) / strong.losses.length;
  expect(loss).toBeLessThan(1.2 * Math.log(3));

  const features = Array.from({ length: 300 }, (_, row) => [
    Math.sin(7 * row),
    Math.cos(11 * row),
    0.05 * Math.sin(row),
  ]);
  const labels = features.map(([, , small]) => (small! > 0 ? 1 : 0));
  const rows = rowsOf(
    features,
    labels.map((label) => [1 - label, label]),
  );
  expect(choosePenalty(rows, "softmax", { strata: labels }).penalty).toBeLessThan(strong.penalty / 10);
});

test("where each class has one row alone nothing is compared, and there is a fit all the same", () => {
  const given = rowsOf(
    [
      [1, 0],
      [0, 1],
    ],
    [
      [1, 0],
      [0, 1],
    ],
  );
  const strata = [0, 1];
  const choice = choosePenalty(given, "softmax", { strata });
  expect(choice.rows).toHaveLength(0);
  const { weight } = fitLinear(given, "softmax", choice, { strata });
  expect(weight[0]).toBeGreaterThan(0);
  expect(weight[2]).toBeLessThan(0);
});

test("losses are worse beyond a standard error of their difference alone", () => {
  const [low, high] = [Float64Array.of(1, 2, 3, 4), Float64Array.of(1.1, 2.1, 3.1, 4.1)];
  expect(isWorse(high, low)).toBe(true);
  expect(isWorse(low, high)).toBe(false);
  expect(isWorse(Float64Array.of(3, 0, 3, 4.1), low)).toBe(false);
});
