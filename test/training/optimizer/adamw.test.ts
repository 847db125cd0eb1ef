import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { float32, type Tensors } from "../../../src/graph/tensor.ts";
import { AdamW, type ParameterGroup } from "../../../src/training/optimizer/adamw.ts";
import { clippingFactor, globalNorm } from "../../../src/training/optimizer/gradient-norm.ts";
import { learningRateFactor } from "../../../src/training/optimizer/learning-rate.ts";

type Values = Record<string, number[]>;

const fixture: {
  totalSteps: number;
  warmupRatio: number;
  maxGradNorm: number;
  groups: ParameterGroup[];
  start: Values;
  steps: { gradients: Values; norm: number; learningRateFactor: number; parameters: Values }[];
} = JSON.parse(readFileSync("test/fixtures/training/adamw.json", "utf8"));

const tensors = (values: Values) =>
  new Map(
    Object.entries(values).map(([name, numbers]) => [name, float32([numbers.length], Float32Array.from(numbers))]),
  );

/** Runs the steps `from` up to, but not including, `to`. */
function train(optimizer: AdamW, parameters: Tensors<"float32">, from: number, to: number): void {
  for (let step = from; step < to; step++) {
    const gradients = tensors(fixture.steps[step]!.gradients);
    const rate = learningRateFactor(step, fixture.totalSteps, fixture);
    optimizer.step(parameters, gradients, rate, clippingFactor(globalNorm(gradients), fixture.maxGradNorm));
  }
}

describe("20 steps of PyTorch, with some parameters temporarily without gradients", () => {
  test("clipping norms and learning rates are equal", () => {
    fixture.steps.forEach((expected, step) => {
      const norm = globalNorm(tensors(expected.gradients));
      expect(norm / expected.norm).toBeCloseTo(1, 6);
      expect(learningRateFactor(step, fixture.totalSteps, fixture)).toBeCloseTo(expected.learningRateFactor, 15);
    });
  });

  test("parameters are equal except for float32 rounding errors", () => {
    const optimizer = new AdamW(fixture.groups);
    const parameters = tensors(fixture.start);
    fixture.steps.forEach((expected, step) => {
      train(optimizer, parameters, step, step + 1);
      for (const [name, values] of Object.entries(expected.parameters)) {
        values.forEach((value, i) => {
          // Four units in the last place of the largest parameters, which are about 2.
          expect(Math.abs(parameters.get(name)!.data[i]! - value)).toBeLessThan(4 * 2 ** -22);
        });
      }
    });
  });
});

test("a state saved at any step continues identically", () => {
  const straight = tensors(fixture.start);
  train(new AdamW(fixture.groups), straight, 0, fixture.totalSteps);
  for (const stop of [0, 1, 5, 12, 19]) {
    const parameters = tensors(fixture.start);
    const first = new AdamW(fixture.groups);
    train(first, parameters, 0, stop);
    const state = first.state();
    const resumed = new AdamW(fixture.groups, { ...state, scalars: JSON.parse(JSON.stringify(state.scalars)) });
    train(resumed, parameters, stop, fixture.totalSteps);
    expect(parameters).toEqual(straight);
  }
});

test("a resumed optimizer does not change the given state", () => {
  const optimizer = new AdamW(fixture.groups);
  const parameters = tensors(fixture.start);
  train(optimizer, parameters, 0, 3);
  const before = structuredClone(optimizer.state());
  train(new AdamW(fixture.groups, optimizer.state()), parameters, 3, 4);
  expect(optimizer.state()).toEqual(before);
});

test("a state without a moment of a parameter is refused", () => {
  const optimizer = new AdamW(fixture.groups);
  train(optimizer, tensors(fixture.start), 0, 1);
  for (const lost of ["matrix.firstMoment", "matrix.secondMoment"]) {
    const { scalars, tensors: kept } = optimizer.state();
    const left = new Map([...kept].filter(([name]) => name !== lost));
    expect(() => new AdamW(fixture.groups, { scalars, tensors: left })).toThrow('lacks the moments of "matrix"');
  }
});

test("a dropped parameter has no state", () => {
  const optimizer = new AdamW(fixture.groups);
  train(optimizer, tensors(fixture.start), 0, 12);
  expect(Object.keys(optimizer.state().scalars.steps)).toContain("matrix");
  optimizer.drop(["matrix"]);
  const { scalars, tensors: kept } = optimizer.state();
  expect(Object.keys(scalars.steps).sort()).toEqual(["head.bias", "head.weight", "late"]);
  expect(kept.size).toBe(6);
});

test("a gradient without a parameter of its size is refused", () => {
  const optimizer = new AdamW(fixture.groups);
  const gradients = new Map([["matrix", float32([5])]]);
  expect(() => optimizer.step(tensors(fixture.start), gradients, 1)).toThrow('"matrix" has no parameter of its size');
});
