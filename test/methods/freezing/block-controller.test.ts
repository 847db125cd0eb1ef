import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { BlockController, type BlockSchedule, workLeft } from "../../../src/methods/freezing/block-controller.ts";

const schedule = (changes: Partial<BlockSchedule> = {}): BlockSchedule => ({
  totalSteps: 200,
  interval: 5,
  earliestStep: 20,
  most: 3,
  awaits: [[], [], [], []],
  ...changes,
});

/** Runs a controller to the end. @param every steps after which it is restored from its boundary */
function frozenBlocksBy(
  changes: Partial<BlockSchedule>,
  {
    isFrozen = () => () => true,
    every,
  }: { isFrozen?: (step: number) => (name: string) => boolean; every?: number } = {},
) {
  const whole = schedule(changes);
  let controller = new BlockController(whole);
  const checks = [];
  for (let step = 0; step < whole.totalSteps; step++) {
    if (every !== undefined && step % every === every - 1) controller = new BlockController(whole, controller.boundary);
    const check = controller.observe(step, isFrozen(step));
    if (check) checks.push({ step, ...check });
  }
  return { steps: checks.flatMap(({ step, frozenBlocks }) => Array<number>(frozenBlocks).fill(step)), checks };
}

describe("blocks freeze evenly from the earliest step to the end", () => {
  test("starting at the input; the last block trains unless all may freeze", () => {
    const { steps, checks } = frozenBlocksBy({ most: 3, earliestStep: 20 });
    expect(steps).toEqual([20, 80, 140]);
    expect(checks.at(-1)).toEqual({
      step: 140,
      boundary: 3,
      frozenBlocks: 1,
      threshold: null,
      scores: Array(4).fill(null),
    });
    expect(frozenBlocksBy({ most: 2, earliestStep: 0 }).steps).toEqual([5, 100]);
    expect(frozenBlocksBy({ most: 1 }).steps).toEqual([20]);
    expect(frozenBlocksBy({ most: 4 }).steps).toEqual([20, 65, 110, 155]);
  });

  test("no block freezes before the method's schedule has frozen its parameters, nor before the blocks in front of it", () => {
    const awaits = [[], ["1.A"], [], []];
    const isFrozen = (step: number) => (): boolean => step >= 143;
    expect(frozenBlocksBy({ awaits }, { isFrozen }).steps).toEqual([20, 145, 145]);
  });

  test("a controller restored between two checks continues as before", () => {
    expect(frozenBlocksBy({}, { every: 37 })).toEqual(frozenBlocksBy({}));
  });
});

test("the remaining work is known in advance", () => {
  // Three of four blocks freeze at steps 20, 80 and 140 of 200.
  expect(workLeft(schedule())).toBeCloseTo(1 - (0.9 + 0.6 + 0.3) / 4, 12);
});

test("blocks that would freeze after the end save no work", () => {
  expect(workLeft(schedule({ earliestStep: 300 }))).toBe(1);
});

test("a contradictory schedule is refused", () => {
  for (const most of [0, 1.5, 5]) {
    expect(() => new BlockController(schedule({ most }))).toThrow(
      new UserError(`Block freezing: ${most} blocks may freeze, but there are 4; give 1 or more of them`),
    );
  }
  expect(() => new BlockController(schedule({ interval: 0 }))).toThrow("interval is 0");
});
