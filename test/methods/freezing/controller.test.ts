import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { copyOf, float32, type Tensors } from "../../../src/graph/tensor.ts";
import {
  type FreezingConfig,
  FreezingController,
  type FreezingState,
} from "../../../src/methods/freezing/controller.ts";
import { frozenFraction } from "../../../src/methods/freezing/schedule.ts";
import { FREEZE_SCORES } from "../../../src/methods/freezing/score.ts";

interface Trace {
  config: Pick<FreezingConfig, "beta1" | "beta2" | "interval" | "totalSteps" | "initialSteps" | "finalSteps">;
  matrices: { name: string; shape: [number, number] }[];
  /** Name → [step][element]. */
  gradients: Record<string, number[][]>;
  frozenAtStep: Record<string, number>;
  checks: { step: number; remaining: number; threshold: number; trainable: number }[];
}

const trace: Trace = JSON.parse(readFileSync("test/fixtures/freezing/reference-trace-1.json", "utf8"));

const reference: FreezingConfig = {
  ...trace.config,
  matrices: trace.matrices.map(({ name, shape }) => ({ name, size: shape[0] * shape[1] })),
  rule: "element-quantile",
  score: "gradient",
  windowed: true,
};

const vector = (...values: number[]) => float32([values.length], Float32Array.from(values));

/** The trace's gradients at a step, for the matrices that are not frozen yet. */
function gradientsAt(step: number, controller: FreezingController): Tensors<"float32"> {
  const names = reference.matrices.map(({ name }) => name).filter((name) => !controller.frozen.has(name));
  return new Map(names.map((name) => [name, vector(...trace.gradients[name]![step]!)]));
}

/** Runs a controller over the trace, starting at `from`, and returns the result of each check. */
function drive(controller: FreezingController, from = 0) {
  const checks = [];
  for (let step = from; step < trace.config.totalSteps; step++) {
    const gradients = gradientsAt(step, controller);
    const frozen = controller.observe(step, gradients, gradients);
    if (controller.lastCheck?.step === step) checks.push(controller.lastCheck);
    else expect(frozen).toEqual([]);
  }
  return checks;
}

/** A state as restored from disk: scalars through JSON, tensors as copies. */
function saveAndLoad({ scalars, tensors }: FreezingState): FreezingState {
  return {
    scalars: JSON.parse(JSON.stringify(scalars)),
    tensors: new Map([...tensors].map(([name, tensor]) => [name, copyOf(tensor)])),
  };
}

describe("element-quantile against the reference code", () => {
  const controller = new FreezingController(reference);
  const checks = drive(controller);

  test("freezes every matrix at the recorded step", () => {
    expect(Object.fromEntries(controller.frozenAtStep)).toEqual(trace.frozenAtStep);
  });

  test("has the recorded checks, thresholds to the bit", () => {
    let trainable = reference.matrices.length;
    const seen = checks.map(({ step, fraction, threshold, frozen }) => {
      trainable -= frozen.length;
      return { step, fraction, threshold, trainable };
    });
    expect(seen).toEqual(trace.checks.map(({ remaining, ...check }) => ({ ...check, fraction: 1 - remaining })));
  });

  test("records every score; for a frozen matrix, the score at which it froze", () => {
    for (const { scores, frozen, threshold } of checks) {
      expect(Object.keys(scores)).toEqual(reference.matrices.map(({ name }) => name));
      for (const name of frozen) expect(scores[name]).toBeLessThan(threshold!);
    }
    const [first, second] = checks;
    for (const name of first!.frozen) expect(second!.scores[name]).toBe(first!.scores[name]);
  });
});

test("scores per step follow the paper's formulas", () => {
  const controller = new FreezingController({
    ...reference,
    matrices: [{ name: "A", size: 2 }],
    interval: 1,
    initialSteps: 0,
    beta1: 0.5,
    beta2: 0.5,
    rule: "matrix-fraction",
    windowed: false,
  });
  controller.observe(0, new Map([["A", vector(-4, 2)]]));
  controller.observe(1, new Map([["A", vector(2, 2)]]));
  // Ī: 2, 1 then 2, 1.5; U: 2, 1 then 0, 0.5; Ū: 1, 0.5 then 0.5, 0.5.
  expect(controller.lastCheck).toMatchObject({ scores: { A: (2 * 0.5 + 1.5 * 0.5) / 2 }, threshold: null, frozen: [] });
});

describe("scores", () => {
  const config: FreezingConfig = {
    ...reference,
    matrices: [
      { name: "A", size: 2 },
      { name: "B", size: 1 },
    ],
    interval: 1,
    initialSteps: 0,
    beta1: 0,
    beta2: 0.5,
    windowed: false,
  };
  const gradients = [1, 2].map(
    (scale) =>
      new Map([
        ["A", vector(scale, -scale)],
        ["B", vector(-3 * scale)],
      ]),
  );
  const weights = new Map([
    ["A", vector(6, -2)],
    ["B", vector(-1)],
  ]);

  test("sensitivity multiplies the gradient by the weight", () => {
    const config1 = { ...config, beta1: 0.5, score: "sensitivity" } as const;
    const bySensitivity = new FreezingController(config1);
    const byGradient = new FreezingController({ ...config1, score: "gradient" });
    const products = (of: Tensors<"float32">) =>
      new Map(
        [...of].map(([name, { data }]) => [
          name,
          vector(...data.map((value, i) => value * weights.get(name)!.data[i]!)),
        ]),
      );
    gradients.forEach((gradient, step) => {
      bySensitivity.observe(step, gradient, weights);
      byGradient.observe(step, products(gradient));
    });
    expect(bySensitivity.lastCheck).toEqual(byGradient.lastCheck);
  });

  test("magnitude is the mean of |θ|, without averages or state", () => {
    const controller = new FreezingController({ ...config, score: "magnitude" });
    expect(controller.observe(0, gradients[0]!, weights)).toEqual([]);
    expect(controller.observe(139, gradients[1]!, weights)).toEqual(["B"]);
    expect(controller.lastCheck).toMatchObject({ scores: { A: 4, B: 1 }, threshold: 2 });
    expect(controller.state().tensors.size).toBe(0);
  });

  test("depth is the matrix's position, independent of its gradients and weights", () => {
    const controller = new FreezingController({ ...config, rule: "matrix-fraction", score: "depth" });
    expect(controller.observe(0, gradients[0]!)).toEqual([]);
    expect(controller.observe(139, gradients[1]!)).toEqual(["A"]);
    expect(controller.lastCheck).toMatchObject({ scores: { A: 0, B: 1 }, threshold: null });
    expect(controller.state().tensors.size).toBe(0);
  });

  test("the error names a missing weight", () => {
    const controller = new FreezingController({ ...config, score: "sensitivity" });
    expect(() => controller.observe(0, gradients[0]!)).toThrow('the weight of "A" has no values, expected 2');
  });
});

const variants = fc.record({
  rule: fc.constantFrom("element-quantile" as const, "matrix-fraction" as const),
  score: fc.constantFrom(...FREEZE_SCORES),
  windowed: fc.boolean(),
  interval: fc.integer({ min: 1, max: 12 }),
  initialSteps: fc.integer({ min: 0, max: 90 }),
  finalSteps: fc.integer({ min: 0, max: 100 }),
});

test("equal scores freeze at the end of the schedule, and later steps do nothing", () => {
  const matrices = ["A", "B"].map((name) => ({ name, size: 3 }));
  const controller = new FreezingController({ ...reference, matrices, interval: 7 });
  const gradients = new Map(matrices.map(({ name, size }) => [name, vector(...new Array<number>(size).fill(0.1))]));
  for (let step = 0; step <= 140; step++) expect(controller.observe(step, gradients)).toEqual([]);
  expect(controller.observe(141, gradients)).toEqual(["A", "B"]);
  expect(controller.lastCheck).toMatchObject({ step: 141, fraction: 1, threshold: null });
  expect(controller.observe(142, new Map())).toEqual([]);
  expect(controller.state().tensors.size).toBe(0);
});

describe("refuses", () => {
  test("beta outside 0 to 1", () => {
    expect(() => new FreezingController({ ...reference, beta1: 1 })).toThrow("beta1 is 1");
  });

  test("a matrix given twice", () => {
    const matrices = [...reference.matrices, reference.matrices[0]!];
    expect(() => new FreezingController({ ...reference, matrices })).toThrow("is given twice");
  });

  test("a matrix without elements", () => {
    expect(() => new FreezingController({ ...reference, matrices: [{ name: "A", size: 0 }] })).toThrow(
      '"A" has size 0',
    );
  });

  test("a gradient of another size", () => {
    const controller = new FreezingController({ ...reference, matrices: [{ name: "A", size: 2 }] });
    expect(() => controller.observe(0, new Map([["A", vector(0, 0, 0)]]))).toThrow(
      'Freezing: the gradient of "A" has 3 values, expected 2',
    );
  });

  test("a state of another configuration", () => {
    const state = new FreezingController({ ...reference, windowed: false }).state();
    expect(() => new FreezingController(reference, state)).toThrow('lora_A.window" has no values, expected 10');
  });
});

describe("for every rule, score and schedule", () => {
  test("nothing unfreezes or freezes twice, and frozen matrices have no state", () => {
    fc.assert(
      fc.property(variants, (variant) => {
        const controller = new FreezingController({ ...reference, ...variant });
        const frozen = drive(controller).flatMap((check) => check.frozen);
        expect(new Set(frozen).size).toBe(frozen.length);
        expect([...controller.frozen]).toEqual(expect.arrayContaining(frozen));
        const kept = [...controller.state().tensors.keys()].map((key) => key.slice(0, key.lastIndexOf(".")));
        for (const name of kept) expect(controller.frozen).not.toContain(name);
        if (variant.finalSteps > 1) expect(frozen.length).toBe(reference.matrices.length);
      }),
      { numRuns: 40 },
    );
  });

  test("matrix-fraction has at least ⌊r(t) N⌋ frozen after a check, lowest scores first", () => {
    fc.assert(
      fc.property(variants, (variant) => {
        const config = { ...reference, ...variant, rule: "matrix-fraction" as const };
        const trainable = new Set(reference.matrices.map(({ name }) => name));
        for (const { step, frozen, scores } of drive(new FreezingController(config))) {
          for (const name of frozen) trainable.delete(name);
          const missing = Math.floor(frozenFraction(step, config) * reference.matrices.length);
          expect(reference.matrices.length - trainable.size).toBe(missing);
          const highest = Math.max(...frozen.map((name) => scores[name]!));
          for (const name of trainable) expect(scores[name]).toBeGreaterThanOrEqual(highest);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("a state saved at any step continues identically", () => {
    fc.assert(
      fc.property(variants, fc.integer({ min: 0, max: 199 }), (variant, stop) => {
        const config = { ...reference, ...variant };
        const straight = new FreezingController(config);
        const checks = drive(straight);

        const first = new FreezingController(config);
        for (let step = 0; step < stop; step++) {
          const gradients = gradientsAt(step, first);
          first.observe(step, gradients, gradients);
        }
        const resumed = new FreezingController(config, saveAndLoad(first.state()));
        expect(drive(resumed, stop)).toEqual(checks.filter(({ step }) => step >= stop));
        expect(resumed.state()).toEqual(straight.state());
      }),
      { numRuns: 40 },
    );
  });
});
