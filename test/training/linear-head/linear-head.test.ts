import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { LinearLoss } from "../../../src/tasks/losses/objective.ts";
import { bestFactor } from "../../../src/training/calibration/temperature.ts";
import { crossValidate } from "../../../src/training/linear-head/cross-validation.ts";
import { Design, type LinearFunction } from "../../../src/training/linear-head/design.ts";
import { canonicalOrder, type FeatureRows } from "../../../src/training/linear-head/feature-rows.ts";
import { drawFolds, sampleRows } from "../../../src/training/linear-head/folds.ts";
import {
  choosePenalty,
  fitLinear,
  isWorse,
  rescaled,
  scaledBy,
} from "../../../src/training/linear-head/linear-head.ts";
import { LinearSolver } from "../../../src/training/linear-head/linear-solver.ts";
import { runtime } from "../../support/runtime.ts";
import { denseTargets } from "./dense-targets.ts";

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
  targets: denseTargets(targets),
  weights: Float32Array.from(weights),
});

const apart = (found: Float64Array, expected: number[]): number =>
  Math.max(...expected.map((each, i) => Math.abs(each - found[i]!)));

/** Runs with a solver of a loss for such rows. */
const solving = <T>(
  { outputs }: FeatureRows,
  loss: LinearLoss,
  use: (solver: LinearSolver) => Promise<T>,
): Promise<T> => LinearSolver.with(runtime, { loss, outputs }, use);

test.each(cases.map((each, i) => [i, each] as const))("case %i is what scikit-learn comes to", async (_, given) => {
  const rows = rowsOf(given.features, given.targets, given.weights);
  const { weight, bias } = await solving(rows, given.loss, async (solver) => {
    const design = await Design.of(rows, await canonicalOrder(rows, solver.turns), solver.products, solver.turns);
    const penalty = given.penalty / design.scale ** 2;
    const start = new Float64Array(rows.outputs * design.width);
    const [found] = await solver.fit(design, [{ weights: design.weights, penalty, start }], { tolerance: 1e-9 });
    return design.functionOf(found!, solver.products);
  });
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

test("a fit is the same to the bit in whatever order rows come", async () => {
  const { labels, ...given } = clusters(60, 8, 3);
  const turned = labels.map((_, row) => 59 - row);
  const reversed: FeatureRows = {
    ...given,
    features: Float32Array.from(turned.flatMap((row) => [...given.features.subarray(8 * row, 8 * row + 8)])),
    targets: denseTargets(turned.map((row) => [0, 1, 2].map((k) => (k === labels[row] ? 1 : 0)))),
  };
  const choose = (rows: FeatureRows, strata: number[]) =>
    solving(rows, "softmax", async (solver) => {
      const choice = await choosePenalty(solver, rows, { strata });
      return { choice, found: await fitLinear(solver, rows, choice, { strata }) };
    });
  const first = await choose(given, labels);
  const second = await choose(
    reversed,
    turned.map((row) => labels[row]!),
  );
  expect(second.found).toEqual(first.found);
  expect(second.choice.penalty).toBe(first.choice.penalty);
  expect(second.choice.factor).toBe(first.choice.factor);
});

test("outputs of held-out rows come from fits that did not see them", async () => {
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
  const { weakest, all } = await solving(given, "softmax", async (solver) => {
    const [weakest] = await crossValidate(solver, given, { strata: labels }, { penalties: [1e-3] });
    return { weakest: weakest!, all: await fitLinear(solver, given, { penalty: 1e-3, factor: 1 }) };
  });
  const right = [...weakest.rows].filter(
    (row, i) => weakest.logits[2 * i + labels[row]!]! > weakest.logits[2 * i + 1 - labels[row]!]!,
  );
  expect(right.length).toBeLessThan(rows / 2 + 10);
  expect(all.weight[0]).toBeGreaterThan(1);
});

test("each held-out row has its own outputs, and a stratum's only row has none", async () => {
  const { labels, ...rows } = clusters(31, 4, 0.1);
  const strata = labels.map((label, row) => (row === 15 ? 3 : label));
  const [found] = await solving(rows, "softmax", (solver) =>
    crossValidate(solver, rows, { strata }, { penalties: [0.1] }),
  );
  expect([...found!.rows].toSorted((a, b) => a - b)).toEqual([...labels.keys()].filter((row) => row !== 15));
  found!.rows.forEach((row, place) => {
    const own = found!.logits.subarray(3 * place, 3 * place + 3);
    expect(own.indexOf(Math.max(...own)), `row ${row}`).toBe(labels[row]);
  });
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
  // Of 50 classes of two rows, a fifth of the rows would leave out most classes.
  const rare = [...order].map((row) => Math.floor(row / 2));
  expect(new Set(Array.from(sampleRows(order, { strata: rare }, 20), (row) => rare[row])).size).toBe(50);
});

test("the best factor gives outputs the sureness that they deserve", async () => {
  // Of ten rows with one output, seven are right: log 7/3 is what they should say.
  const rowsOf = (count: number, share: number) => ({
    outputs: 1,
    logits: new Float64Array(count).fill(0.25),
    targets: Float64Array.from({ length: count }, (_, i) => (i % 10 < 10 * share ? 1 : 0)),
    weights: new Float64Array(count).fill(1),
  });
  const rows = rowsOf(10_000, 0.7);
  expect(0.25 * (await bestFactor(rows, "sigmoid"))).toBeCloseTo(Math.log(7 / 3), 2);
  expect(await bestFactor(rows, "squared")).toBe(1);
  // Four that are all right do not make a model sure.
  const few = await bestFactor(rowsOf(4, 1), "sigmoid");
  expect(few).toBeGreaterThan(1);
  expect(few).toBeLessThan(2);
  // Nor do they say much beside a thousand by which it was scaled before.
  expect(await bestFactor(rowsOf(4, 1), "sigmoid", { known: 1000 })).toBeCloseTo(1, 2);
});

test("the factor of a fit suits rows that it did not see", async () => {
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
  /** How far, as a logarithm, a fit's factor is from the one that suits others. */
  const offOf = async ({ weight, bias }: LinearFunction): Promise<number> => {
    const logits = others.features.flatMap((row) =>
      [0, 1].map((k) => row.reduce((sum, value, j) => sum + value * weight[40 * k + j]!, bias[k]!)),
    );
    const targets = Float64Array.from(others.targets.flat());
    const weights = new Float64Array(others.targets.length).fill(1);
    return Math.log(await bestFactor({ outputs: 2, logits: Float64Array.from(logits), targets, weights }, "softmax"));
  };
  const offs: number[][] = [];
  for (let draw = 0; draw < 6; draw++) {
    const { rows, strata } = drawn(150);
    const found = await solving(rows, "softmax", async (solver) => {
      const [plain] = await crossValidate(solver, rows, { strata }, { penalties: [0.3] });
      const scaled = await rescaled(solver, rows, plain!, { strata });
      return [
        await fitLinear(solver, rows, scaled, { strata }),
        await fitLinear(solver, rows, plain!, { strata }),
      ] as const;
    });
    offs.push([await offOf(found[0]), await offOf(found[1])]);
  }
  const [own, plain] = [0, 1].map((i) => offs.reduce((sum, off) => sum + off[i]! / offs.length, 0));
  expect(Math.abs(own!)).toBeLessThan(0.05);
  expect(plain).toBeLessThan(-0.05);
});

test("cross-validation scales a fit of all rows, of enough for each class, and not of thousands", () => {
  const scaled = ([2000, 2001, 20, 19] as const).map((rows) => scaledBy({ rows, outputs: 4 }));
  expect(scaled).toEqual([2000, 0, 20, 0]);
});

test("the penalty is strong where features say nothing, and weak where a small one says all", async () => {
  const { labels: strata, ...noise } = clusters(60, 30, 1e3);
  const chosen = (rows: FeatureRows, strata: number[]) =>
    solving(rows, "softmax", (solver) => choosePenalty(solver, rows, { strata }));
  const strong = await chosen(noise, strata);
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
  expect((await chosen(rows, labels)).penalty).toBeLessThan(strong.penalty / 10);
});

test("where each class has one row alone nothing is compared, and there is a fit all the same", async () => {
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
  const { choice, weight } = await solving(given, "softmax", async (solver) => {
    const choice = await choosePenalty(solver, given, { strata });
    return { choice, ...(await fitLinear(solver, given, choice, { strata })) };
  });
  expect(choice.rows).toHaveLength(0);
  expect(weight[0]).toBeGreaterThan(0);
  expect(weight[2]).toBeLessThan(0);
});

test("a fit without a comparison tells each of many classes from the others", async () => {
  const classes = 60;
  const ofOne = (row: number) => Array.from({ length: classes }, (_, output) => (output === row ? 1 : 0));
  const features = Array.from({ length: classes }, (_, row) =>
    ofOne(row).map((each, j) => each + 0.1 * Math.sin(row * j)),
  );
  const given = rowsOf(
    features,
    features.map((_, row) => ofOne(row)),
  );
  const { weight, bias } = await solving(given, "softmax", async (solver) =>
    fitLinear(solver, given, await choosePenalty(solver, given, { strata: [...features.keys()] })),
  );
  const shares = features.map((row, own) => {
    const logits = Array.from(bias, (each, k) => row.reduce((sum, x, j) => sum + x * weight[k * classes + j]!, each));
    return Math.exp(logits[own]!) / logits.reduce((sum, each) => sum + Math.exp(each), 0);
  });
  // At the usual penalty, less than 0.1.
  expect(Math.min(...shares)).toBeGreaterThan(0.7);
});

test("losses are worse beyond a standard error of their difference alone", () => {
  const [low, high] = [Float64Array.of(1, 2, 3, 4), Float64Array.of(1.1, 2.1, 3.1, 4.1)];
  expect(isWorse(high, low)).toBe(true);
  expect(isWorse(low, high)).toBe(false);
  expect(isWorse(Float64Array.of(3, 0, 3, 4.1), low)).toBe(false);
  // The standard error of a mean of two differences is half the distance between them.
  expect(isWorse(Float64Array.of(1.1, 3), Float64Array.of(1, 2))).toBe(true);
  expect(isWorse(Float64Array.of(0.9, 3), Float64Array.of(1, 2))).toBe(false);
});
