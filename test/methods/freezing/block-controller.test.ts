import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { float32, type Tensors } from "../../../src/graph/tensor.ts";
import { BlockController } from "../../../src/methods/freezing/block-controller.ts";
import { type BlockSchedule, workLeft } from "../../../src/methods/freezing/block-rules.ts";

const SIZE = 4;
const BLOCKS = 4;

const schedule = (changes: Partial<BlockSchedule> = {}): BlockSchedule => ({
  rule: "linear",
  totalSteps: 200,
  interval: 5,
  earliestStep: 20,
  most: BLOCKS - 1,
  threshold: 0.5,
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

/** Runs a controller to the end; gradients of frozen blocks are not there. */
function frozenBlocksBy(
  changes: Partial<BlockSchedule>,
  size: (block: number, step: number) => number,
  isFrozen?: (step: number) => (name: string) => boolean,
) {
  const whole = schedule(changes);
  const controller = new BlockController(whole);
  const checks = [];
  for (let step = 0; step < whole.totalSteps; step++) {
    const gradients = new Map(gradientsOf(step, size));
    for (let block = 0; block < controller.boundary; block++) gradients.delete(`${block}.d`);
    const check = controller.observe(step, gradients, isFrozen?.(step));
    if (check) checks.push({ step, ...check });
  }
  return { steps: checks.flatMap(({ step, frozenBlocks }) => Array<number>(frozenBlocks).fill(step)), checks };
}

describe("linear: blocks freeze evenly from the earliest step to the end", () => {
  const still = () => 1;

  test("from the input side on; the last stays where it may not leave", () => {
    const { steps, checks } = frozenBlocksBy({ most: 3, earliestStep: 20 }, still);
    expect(steps).toEqual([20, 80, 140]);
    expect(checks.at(-1)).toEqual({
      step: 140,
      boundary: 3,
      frozenBlocks: 1,
      threshold: null,
      scores: Array(4).fill(null),
    });
    expect(frozenBlocksBy({ most: 2, earliestStep: 0 }, still).steps).toEqual([5, 100]);
  });

  test("none before what its own schedule freezes is frozen, nor before those in front of it", () => {
    const blocks = schedule().blocks.map((block, i) => (i === 1 ? { ...block, awaits: ["1.A"] } : block));
    expect(frozenBlocksBy({ blocks }, still, (step) => () => step >= 143).steps).toEqual([20, 145, 145]);
  });
});

test("linear: the work that is left is known before", () => {
  const whole = schedule({ rule: "linear", most: 3, earliestStep: 20 });
  // Of four blocks three leave at steps 20, 80 and 140 of 200.
  expect(workLeft(whole)).toBeCloseTo(1 - (0.9 + 0.6 + 0.3) / 4, 12);
  expect(workLeft({ ...whole, rule: "autofreeze" })).toBeUndefined();
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
    expect(seen[0]).toEqual({ boundary: 0, frozenBlocks: 0, threshold: null, scores: [null, null, null, null] });
    // Changes 0.01, 0.5, 0.2 and, of one that may not freeze, 0.1: the median is 0.15.
    expect(seen[1]).toMatchObject({ boundary: 1, frozenBlocks: 1 });
    expect(seen[1]!.threshold).toBeCloseTo(0.15, 6);
    expect(seen[1]!.scores[0]).toBeCloseTo(0.01, 6);
    // 1, 0.125 and 0.111, with block 1 above the median.
    expect(seen[2]).toMatchObject({ boundary: 1, frozenBlocks: 0 });
    expect(seen[2]!.threshold).toBeCloseTo(1 / 8, 5);
  });
});

test("autofreeze: saved and restored amid an interval it goes on as it was", () => {
  // What falls slowest freezes first.
  const falls = (block: number, step: number) => Math.exp(-step / (15 * (BLOCKS - block)));
  const whole = frozenBlocksBy({ rule: "autofreeze" }, falls);
  const settings = schedule({ rule: "autofreeze" });
  let controller = new BlockController(settings);
  const checks = [];
  for (let step = 0; step < settings.totalSteps; step++) {
    if (step % 37 === 36) controller = new BlockController(settings, structuredClone(controller.state()));
    const check = controller.observe(step, gradientsOf(step, falls));
    if (check) checks.push({ step, ...check });
  }
  expect(whole.steps.length).toBeGreaterThan(0);
  expect(checks).toEqual(whole.checks);
});

test("what contradicts itself is refused", () => {
  expect(() => new BlockController(schedule({ most: 5 }))).toThrow(UserError);
  expect(() => new BlockController(schedule({ interval: 0 }))).toThrow("interval is 0");
  expect(() => new BlockController(schedule({ threshold: 1.5 }))).toThrow("threshold is 1.5");
  const autofreeze = schedule({ rule: "autofreeze" });
  const controller = new BlockController(autofreeze);
  controller.observe(
    0,
    gradientsOf(0, () => 1),
  );
  const { scalars } = controller.state();
  const tensors = new Map([["0.d.sum", float32([2])]]);
  expect(() => new BlockController(autofreeze, { scalars, tensors })).toThrow(/"0.d.sum" has 2 values, expected 4/);
});
