import { expect, test } from "vitest";
import { float64 } from "../../../src/graph/tensor.ts";
import { Turns } from "../../../src/runtime/turns.ts";
import type { LinearLoss } from "../../../src/tasks/losses/objective.ts";
import { Products, positiveInverse } from "../../../src/training/dense.ts";
import { Design, type LinearFunction, spanOfRows } from "../../../src/training/linear-head/design.ts";
import { classTargets, type FeatureRows } from "../../../src/training/linear-head/feature-rows.ts";
import { fitLinear, mostRows } from "../../../src/training/linear-head/linear-head.ts";
import { rowLoss } from "../../../src/training/linear-head/linear-losses.ts";
import { LinearSolver } from "../../../src/training/linear-head/linear-solver.ts";
import { runtime } from "../../support/runtime.ts";
import { denseTargets } from "./dense-targets.ts";

/** Numbers between -0.5 and 0.5 that look random. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647 - 0.5;
  };
}

const LOSSES: readonly LinearLoss[] = ["softmax", "sigmoid", "squared"];

/** Rows with features of unlike sizes that depend on each other, and targets that a loss takes. */
function drawnRows(loss: LinearLoss, size: { rows: number; width: number; outputs: number }): Drawn {
  const { rows, width, outputs } = size;
  const random = randomNumbers(rows + width);
  const features = new Float32Array(rows * width);
  const targets: number[][] = [];
  for (let row = 0; row < rows; row++) {
    const common = random();
    for (let j = 0; j < width; j++) features[row * width + j] = (1 + j) * (random() + 3 * common) + 1;
    const chosen = Math.floor((random() + 0.5) * outputs);
    const values = Array.from({ length: outputs }, () => random());
    targets.push(
      values.map((value, k) =>
        loss === "softmax" ? (k === chosen ? 1 : 0) : loss === "sigmoid" ? Number(value > 0.2) : value,
      ),
    );
  }
  const weights = Float32Array.from({ length: rows }, () => 1 + random());
  return { ...size, features, targets: denseTargets(targets), weights, dense: targets };
}

type Drawn = FeatureRows & { dense: number[][] };

/** The penalised loss of a linear function, computed row by row. @param scale divisor of features whose coefficients are penalised */
function slowLoss(
  loss: LinearLoss,
  rows: Drawn,
  { weight, bias }: LinearFunction,
  penalty: number,
  scale: number,
): number {
  const { width, outputs } = rows;
  let sum = 0;
  for (let row = 0; row < rows.rows; row++) {
    const logits = Float64Array.from({ length: outputs }, (_, k) => {
      let logit = bias[k]!;
      for (let j = 0; j < width; j++) logit += weight[k * width + j]! * rows.features[row * width + j]!;
      return logit;
    });
    const own = { outputs, logits, targets: Float64Array.from(rows.dense[row]!), weights: Float64Array.of(1) };
    sum += rows.weights[row]! * rowLoss(loss, own, 0, 1);
  }
  return sum + 0.5 * penalty * scale ** 2 * weight.reduce((total, each) => total + each * each, 0);
}

/** The largest derivative of a function by one of the coefficients, by central differences. */
function steepest(found: LinearFunction, of: (at: LinearFunction) => number): number {
  const step = 1e-4;
  const moved = (values: Float64Array, i: number, by: number): Float64Array =>
    values.map((value, j) => (i === j ? value + by : value));
  const slopes = [
    ...Array.from(found.weight, (_, i) => [
      of({ ...found, weight: moved(found.weight, i, step) }),
      of({ ...found, weight: moved(found.weight, i, -step) }),
    ]),
    ...Array.from(found.bias, (_, i) => [
      of({ ...found, bias: moved(found.bias, i, step) }),
      of({ ...found, bias: moved(found.bias, i, -step) }),
    ]),
  ].map(([up, down]) => Math.abs(up! - down!) / (2 * step));
  return Math.max(...slopes);
}

test.each(
  LOSSES.flatMap((loss) => [
    [loss, "more rows than features", { rows: 60, width: 7, outputs: 3 }] as const,
    [loss, "fewer rows than features", { rows: 9, width: 20, outputs: 3 }] as const,
  ]),
)("the fit of %s has no slope in any feature, with %s", async (loss, _, size) => {
  const rows = drawnRows(loss, size);
  const penalty = 0.05;
  const { found, scale, usual } = await LinearSolver.with(runtime, { loss, outputs: 3 }, async (solver) => {
    const order = Int32Array.from({ length: rows.rows }, (_, row) => row);
    const design = await Design.of(rows, order, solver.products, solver.turns);
    const start = new Float64Array(3 * design.width);
    const [own] = await solver.fit(design, [{ weights: design.weights, penalty, start }], { tolerance: 1e-9 });
    const usual = await fitLinear(solver, rows, { penalty, factor: 1 });
    return { found: await design.functionOf(own!, solver.products), scale: design.scale, usual };
  });
  const lossAt = (at: LinearFunction): number => slowLoss(loss, rows, at, penalty, scale);
  const nothing = { weight: new Float64Array(3 * size.width), bias: new Float64Array(3) };
  expect(steepest(found, lossAt)).toBeLessThan(1e-6 * steepest(nothing, lossAt));
  // The tolerance of a head's fit.
  expect(steepest(usual, lossAt)).toBeLessThan(1e-4 * steepest(nothing, lossAt));
});

test("a fit of squares takes one step, because the Hessian is known", async () => {
  const rows = drawnRows("squared", { rows: 60, width: 7, outputs: 3 });
  await LinearSolver.with(runtime, { loss: "squared", outputs: 3 }, async (solver) => {
    const order = Int32Array.from({ length: 60 }, (_, row) => row);
    const design = await Design.of(rows, order, solver.products, solver.turns);
    let most = 0;
    const onPass = (passes: number): void => {
      most = passes;
    };
    const fit = { weights: design.weights, penalty: 5, start: new Float64Array(3 * design.width) };
    await solver.fit(design, [fit], { tolerance: 1e-9, onPass });
    // The start, and the end.
    expect(most).toBe(2);
  });
});

test("fits side by side are those of each by itself, of its own rows", async () => {
  const rows = drawnRows("softmax", { rows: 40, width: 6, outputs: 3 });
  await LinearSolver.with(runtime, { loss: "softmax", outputs: 3 }, async (solver) => {
    const order = Int32Array.from({ length: 40 }, (_, row) => row);
    const design = await Design.of(rows, order, solver.products, solver.turns);
    const fits = [0, 1, 2].map((part) => ({
      weights: design.weights.map((weight, row) => (row % 3 === part ? 0 : weight)),
      penalty: 0.1,
      start: new Float64Array(3 * design.width),
    }));
    const together = await solver.fit(design, fits, { tolerance: 1e-9 });
    for (const [i, fit] of fits.entries()) {
      const [alone] = await solver.fit(design, [fit], { tolerance: 1e-9 });
      for (const [j, each] of together[i]!.entries()) expect(each).toBeCloseTo(alone![j]!, 6);
    }
    expect(Math.abs(together[0]![0]! - together[1]![0]!)).toBeGreaterThan(0.01);
  });
});

test("functions side by side have the losses and slopes of each by itself if the rows are cut into blocks", async () => {
  // Two functions of 1000 outputs have blocks of 524 rows, and one has blocks of 1048.
  const rows = drawnRows("softmax", { rows: 1100, width: 2, outputs: 1000 });
  await LinearSolver.with(runtime, { loss: "softmax", outputs: 1000 }, async (solver) => {
    const design = await Design.of(
      rows,
      Int32Array.from({ length: 1100 }, (_, row) => row),
      solver.products,
      solver.turns,
    );
    const random = randomNumbers(11);
    const functions = [0, 1].map(() => Float64Array.from({ length: 1000 * design.width }, random));
    const weights = [0, 1].map(() => Float64Array.from({ length: 1100 }, () => random() + 0.5));
    const together = await solver.normalisers(
      design,
      float64([2, 1000, design.width], Float64Array.from(functions.flatMap((each) => [...each]))),
      Float64Array.from({ length: 2200 }, (_, i) => weights[i % 2]![Math.floor(i / 2)]!),
    );
    for (const [i, each] of functions.entries()) {
      const alone = await solver.normalisers(design, float64([1, 1000, design.width], each), weights[i]!);
      expect(together.values[i]! / alone.values[0]!).toBeCloseTo(1, 12);
      const slopes = together.gradient.data.subarray(i * each.length, (i + 1) * each.length);
      expect(Math.max(...slopes.map((slope, j) => Math.abs(slope - alone.gradient.data[j]!)))).toBeLessThan(1e-9);
    }
  });
});

test("the features' sum of squares is that of all rows if they are cut into blocks", async () => {
  // Blocks of five columns have 209,715 rows.
  const [rows, width] = [300_000, 4];
  const drawn = {
    ...drawnRows("squared", { rows: 3, width, outputs: 1 }),
    rows,
    weights: new Float32Array(rows).fill(2),
  };
  const features = Float32Array.from({ length: rows * width }, (_, i) => (i % 7) - (i % 3));
  await LinearSolver.with(runtime, { loss: "squared", outputs: 1 }, async (solver) => {
    const order = Int32Array.from({ length: rows }, (_, row) => row);
    const design = await Design.of({ ...drawn, features }, order, solver.products, solver.turns);
    const { data } = await solver.gram(design);
    // Rows have a mean square of 1, and a column of ones.
    const trace = Array.from({ length: width }, (_, j) => data[j * (width + 2)]!).reduce((sum, each) => sum + each);
    expect(trace / (2 * rows)).toBeCloseTo(1, 9);
    expect(data.at(-1)! / (2 * rows)).toBeCloseTo(1, 9);
  });
});

test("fits whose coefficients are too many to be computed side by side are computed in groups", async () => {
  const [outputs, fits] = [2000, 300];
  const rows = drawnRows("softmax", { rows: 10, width: 4, outputs });
  await LinearSolver.with(runtime, { loss: "softmax", outputs }, async (solver) => {
    const order = Int32Array.from({ length: 10 }, (_, row) => row);
    const design = await Design.of(rows, order, solver.products, solver.turns);
    let most = 0;
    const own = solver.normalisers.bind(solver);
    solver.normalisers = (...given) => {
      most = Math.max(most, given[1].data.length);
      return own(...given);
    };
    const start = new Float64Array(outputs * design.width);
    const fit = { weights: design.weights, penalty: 1, start };
    expect(await solver.fit(design, new Array(fits).fill(fit), { tolerance: 1 })).toHaveLength(fits);
    // 209 of 300 fits of 10,000 coefficients.
    expect(most).toBe(209 * start.length);
  });
});

test("the inverse of a matrix that is cut in parts is the inverse", async () => {
  const width = 150;
  const random = randomNumbers(3);
  const factor = float64([width, width]);
  for (let i = 0; i < factor.data.length; i++) factor.data[i] = random();
  const products = new Products(runtime);
  const matrix = await products.product(factor, factor, { transB: true });
  for (let j = 0; j < width; j++) matrix.data[j * width + j]! += 0.1;
  const { data } = await products.product(matrix, await positiveInverse(matrix, products));
  await products.release();
  data.forEach((value, i) => {
    expect(value).toBeCloseTo(i % (width + 1) === 0 ? 1 : 0, 9);
  });
});

test("a fit gives way to other events, and ends with the reason of its signal", async () => {
  const rows = drawnRows("softmax", { rows: 2000, width: 100, outputs: 20 });
  const stop = new AbortController();
  const reason = new Error("stopped");
  // The abort itself is an event that a fit must let through.
  const timer = setTimeout(() => stop.abort(reason));
  let evaluations = 0;
  const fitting = LinearSolver.with(runtime, { loss: "softmax", outputs: 20, signal: stop.signal }, (solver) => {
    const own = solver.normalisers.bind(solver);
    solver.normalisers = (...given) => {
      evaluations++;
      return own(...given);
    };
    return fitLinear(solver, rows, { penalty: 1e-9, factor: 1 });
  });
  await expect(fitting).rejects.toBe(reason);
  clearTimeout(timer);
  expect(evaluations).toBeLessThan(20);
});

test("thousands of classes are fitted in blocks of rows", async () => {
  const [outputs, width] = [4000, 8];
  const random = randomNumbers(5);
  const classes = Array.from({ length: 2 * outputs }, (_, row) => row % outputs);
  const features = Float32Array.from({ length: classes.length * width }, random);
  const rows = { rows: classes.length, width, outputs, features, targets: classTargets(classes) };
  const before = process.memoryUsage().rss;
  let peak = 0;
  await LinearSolver.with(runtime, { loss: "softmax", outputs }, (solver) => {
    const own = solver.turns.give.bind(solver.turns);
    solver.turns.give = () => {
      peak = Math.max(peak, process.memoryUsage().rss);
      return own();
    };
    return fitLinear(solver, { ...rows, weights: new Float32Array(rows.rows).fill(1) }, { penalty: 10, factor: 1 });
  });
  // All outputs of all rows in float64 would be 256 MB, and ONNX Runtime would hold several matrices of that size.
  expect(peak - before).toBeLessThan(200e6);
});

test("a fit of tens of thousands of classes, each pass of which takes seconds, ends at fewer digits", async () => {
  const toleranceOf = async (outputs: number): Promise<number> => {
    const width = 8;
    const random = randomNumbers(7);
    const classes = Array.from({ length: 3 * outputs }, (_, row) => row % outputs);
    const features = Float32Array.from({ length: classes.length * width }, random);
    const weights = new Float32Array(classes.length).fill(1);
    const rows = { rows: classes.length, width, outputs, features, targets: classTargets(classes), weights };
    const stop = new AbortController();
    const reason = new Error("stopped");
    let asked = 0;
    const fitting = LinearSolver.with(runtime, { loss: "softmax", outputs, signal: stop.signal }, (solver) => {
      const own = solver.fit.bind(solver);
      // The fit itself would take minutes.
      solver.fit = (design, fits, options) => {
        asked = options.tolerance;
        stop.abort(reason);
        return own(design, fits, options);
      };
      return fitLinear(solver, rows, { penalty: 1, factor: 1 });
    });
    await expect(fitting).rejects.toBe(reason);
    return asked;
  };
  expect(await toleranceOf(38_000)).toBe(100 * (await toleranceOf(30)));
});

test("items that are sorted in turns are in order", async () => {
  const keys = Float64Array.from({ length: 30_000 }, (_, i) => Math.sin(i));
  const sorted = await new Turns().sort(Int32Array.from(keys.keys()), (a, b) => keys[a]! - keys[b]!);
  expect(new Set(sorted).size).toBe(keys.length);
  for (let i = 1; i < sorted.length; i++) expect(keys[sorted[i]!]).toBeGreaterThanOrEqual(keys[sorted[i - 1]!]!);
});

test("rows of zeros span nothing: the 1 is their only coordinate", async () => {
  const products = new Products(runtime);
  const { coordinates } = await spanOfRows(float64([3, 2]), products, new Turns());
  await products.release();
  expect([...coordinates]).toEqual([1, 1, 1]);
});

test("a fit takes three rows for each output at least, and fewer rows the more products they need", () => {
  expect(mostRows({ width: 1025, outputs: 10_000 })).toBe(30_000);
  expect(mostRows({ width: 1024, outputs: 128 })).toBe(2 ** 16);
  expect(mostRows({ width: 1024, outputs: 1024 })).toBe(2 ** 14);
});
