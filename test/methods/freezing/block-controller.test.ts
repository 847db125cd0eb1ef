import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { float32, type Tensors } from "../../../src/graph/tensor.ts";
import { BlockController } from "../../../src/methods/freezing/block-controller.ts";
import { type BlockSchedule, workLeft } from "../../../src/methods/freezing/block-rules.ts";

const SIZE = 4;
const BLOCKS = 4;

const schedule = (changes: Partial<BlockSchedule> = {}): BlockSchedule => ({
  rule: "settled",
  totalSteps: 200,
  interval: 5,
  earliestStep: 20,
  most: BLOCKS - 1,
  threshold: 0.2,
  beta1: 0.85,
  beta2: 0.95,
  blocks: Array.from({ length: BLOCKS }, (_, block) => ({
    parameters: [{ name: `${block}.d`, size: SIZE }],
    awaits: [],
  })),
  ...changes,
});

/** Gradients of every block, `size(block, step)` large, that go to and fro. */
function gradientsOf(step: number, size: (block: number, step: number) => number): Tensors<"float32"> {
  return new Map(
    Array.from({ length: BLOCKS }, (_, block) => {
      const values = Float32Array.from(
        { length: SIZE },
        (_, i) => size(block, step) * (1 + 0.5 * Math.sin(3 * step + i)),
      );
      return [`${block}.d`, float32([SIZE], values)] as const;
    }),
  );
}

/** Runs a controller to the end; gradients of settled blocks are not there. */
function settledBy(
  changes: Partial<BlockSchedule>,
  size: (block: number, step: number) => number,
  isFrozen?: (step: number) => (name: string) => boolean,
) {
  const whole = schedule(changes);
  const controller = new BlockController(whole);
  const checks = [];
  for (let step = 0; step < whole.totalSteps; step++) {
    const gradients = new Map(gradientsOf(step, size));
    for (let block = 0; block < controller.border; block++) gradients.delete(`${block}.d`);
    const check = controller.observe(step, gradients, isFrozen?.(step));
    if (check) checks.push({ step, ...check });
  }
  return { steps: checks.flatMap(({ step, settled }) => Array<number>(settled).fill(step)), checks };
}

describe("settled: a block's score falls to a share of its highest", () => {
  test("blocks settle from the input side on, the later the slower their gradients fall; the last stays", () => {
    const { steps, checks } = settledBy({}, (block, step) => Math.exp(-step / (15 * (block + 1))));
    expect(steps).toHaveLength(BLOCKS - 1);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(new Set(steps).size).toBeGreaterThan(1);
    for (const step of steps) expect(step % 5).toBe(0);
    const last = checks.at(-1)!;
    expect(last).toMatchObject({
      border: 3,
      settled: 1,
      threshold: 0.2,
      scores: [null, null, expect.any(Number), null],
    });
    expect(last.scores[2]).toBeLessThanOrEqual(0.2);
  });

  test("a block whose gradients do not fall holds up those behind it", () => {
    expect(settledBy({}, (block, step) => (block === 1 ? 1 : Math.exp(-step / 15))).steps).toHaveLength(1);
  });

  test("none settles before the earliest step, nor before what its own schedule freezes is frozen", () => {
    const falls = (_: number, step: number) => Math.exp(-step / 5);
    expect(settledBy({ earliestStep: 90 }, falls).steps).toEqual([90, 90, 90]);
    const blocks = schedule().blocks.map((block, i) => (i === 1 ? { ...block, awaits: ["1.A"] } : block));
    const { steps } = settledBy({ blocks }, falls, (step) => () => step >= 133);
    expect(steps[0]).toBeLessThan(133);
    expect(steps.slice(1)).toEqual([135, 135]);
  });

  test("a block that trains nothing is done at the earliest step", () => {
    const blocks = schedule().blocks.map((block, i) => (i < 2 ? { ...block, parameters: [] } : block));
    expect(settledBy({ blocks }, () => 1).steps).toEqual([20, 20]);
  });
});

test("linear: blocks settle evenly from the earliest step to the end", () => {
  expect(settledBy({ rule: "linear", most: 3, earliestStep: 20 }, () => 1).steps).toEqual([20, 80, 140]);
  expect(settledBy({ rule: "linear", most: 2, earliestStep: 0 }, () => 1).steps).toEqual([5, 100]);
});

test("linear: the work that is left is known before", () => {
  const whole = schedule({ rule: "linear", most: 3, earliestStep: 20 });
  // Of four blocks three leave at steps 20, 80 and 140 of 200.
  expect(workLeft(whole)).toBeCloseTo(1 - (0.9 + 0.6 + 0.3) / 4, 12);
  expect(workLeft({ ...whole, rule: "settled" })).toBeUndefined();
});

describe("autofreeze: blocks whose summed gradients change least, below the median", () => {
  test("equals the released code's arithmetic", () => {
    // Norms of the summed gradients by interval: block 0 changes little, 1 a lot, 2 and 3 in between.
    const norms = [
      [100, 99, 99, 60],
      [100, 50, 100, 50],
      [100, 80, 70, 55],
      [100, 90, 80, 56],
    ];
    const controller = new BlockController(
      schedule({ rule: "autofreeze", threshold: 0.5, earliestStep: 0, totalSteps: 21 }),
    );
    const seen = [];
    for (let step = 0; step <= 20; step++) {
      const interval = Math.max(0, Math.ceil(step / 5) - 1);
      const gradients = new Map(
        norms.map((of, block) => [
          `${block}.d`,
          float32([SIZE], new Float32Array(SIZE).fill(of[interval]! / (5 * SIZE))),
        ]),
      );
      const check = controller.observe(step, gradients);
      if (check) seen.push(check);
    }
    expect(seen[0]).toEqual({ border: 0, settled: 0, threshold: null, scores: [null, null, null, null] });
    // Changes 0.01, 0.5, 0.2 and, of one that may not settle, 0.1: the median is 0.15.
    expect(seen[1]).toMatchObject({ border: 1, settled: 1 });
    expect(seen[1]!.threshold).toBeCloseTo(0.15, 6);
    expect(seen[1]!.scores[0]).toBeCloseTo(0.01, 6);
    // 1, 0.125 and 0.111, with block 1 above the median.
    expect(seen[2]).toMatchObject({ border: 1, settled: 0 });
    expect(seen[2]!.threshold).toBeCloseTo(1 / 8, 5);
  });
});

test.each(["settled", "autofreeze"] as const)(
  "%s: saved and restored amid an interval it goes on as it was",
  (rule) => {
    // By one rule what has fallen settles first, by the other what falls slowest.
    const slowness = (block: number): number => (rule === "settled" ? block + 1 : BLOCKS - block);
    const falls = (block: number, step: number) => Math.exp(-step / (15 * slowness(block)));
    const whole = settledBy({ rule, threshold: 0.3 }, falls);
    const settings = schedule({ rule, threshold: 0.3 });
    let controller = new BlockController(settings);
    const checks = [];
    for (let step = 0; step < settings.totalSteps; step++) {
      if (step % 37 === 36) controller = new BlockController(settings, structuredClone(controller.state()));
      const check = controller.observe(step, gradientsOf(step, falls));
      if (check) checks.push({ step, ...check });
    }
    expect(whole.steps.length).toBeGreaterThan(0);
    expect(checks).toEqual(whole.checks);
  },
);

test("what contradicts itself is refused", () => {
  expect(() => new BlockController(schedule({ most: 5 }))).toThrow(UserError);
  expect(() => new BlockController(schedule({ interval: 0 }))).toThrow("interval is 0");
  expect(() => new BlockController(schedule({ threshold: 1.5 }))).toThrow("threshold is 1.5");
  const controller = new BlockController(schedule());
  controller.observe(
    0,
    gradientsOf(0, () => 1),
  );
  const { scalars } = controller.state();
  const tensors = new Map([["0.d.average", float32([2])]]);
  expect(() => new BlockController(schedule(), { scalars, tensors })).toThrow(/"0.d.average" has 2 values, expected 4/);
});
