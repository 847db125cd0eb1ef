import { expect, test } from "vitest";
import { float32 } from "../../src/graph/tensor.ts";
import { type BlockFreezingSettings, type BlocksOfModel, withBlockFreezing } from "../../src/methods/block-freezing.ts";
import type { MethodState, Schedule } from "../../src/methods/method.ts";

const NAMES = ["0.d", "0.A", "1.d", "1.A", "2.d"];
const model: BlocksOfModel = {
  method: "aflora",
  trained: [["0.d", "0.A"], ["1.d", "1.A"], ["2.d"]],
  freezable: ["0.A", "1.A"],
};
const run = { totalSteps: 40, stepsPerEpoch: 10 };
const gradients = new Map(NAMES.map((name) => [name, float32([2], Float32Array.of(1, -1))]));

/** A schedule that freezes the matrices at step 8 and has its own state. */
function ofMethod(state?: MethodState): Schedule {
  let last = (state?.scalars as { last: number } | undefined)?.last ?? -1;
  return {
    note: "its own note",
    trainable: () => new Set(NAMES.filter((name) => last < 8 || !name.endsWith("A"))),
    observe(step) {
      last = step;
      if (step !== 8) return undefined;
      return { step, fraction: 1, threshold: null, scores: { "0.A": 1, "1.A": 1 }, frozen: ["0.A", "1.A"] };
    },
    state: () => ({ scalars: { last }, tensors: new Map([["0.A.average", float32([2])]]) }),
  };
}

const schedule = (settings: BlockFreezingSettings, state?: MethodState): Schedule =>
  withBlockFreezing(ofMethod, settings, model, run, state);

test("combined with a method's schedule: its checks remain, blocks wait for it, and frozen parameters do not train", () => {
  const both = schedule({ freezeBlocks: "linear", freezeBlocksEarliest: "0", freezeBlocksInterval: "4" });
  const checks = Array.from({ length: 40 }, (_, step) => both.observe!(step, gradients, gradients)).filter(Boolean);
  expect(checks.find((check) => check!.step === 4)).toEqual({
    ...{ step: 4, fraction: 0, threshold: null, scores: {}, frozen: [] },
    blocks: { boundary: 0, frozenBlocks: 0, threshold: null, scores: [null, null, null] },
  });
  expect(checks.find((check) => check!.step === 8)).toMatchObject({
    ...{ fraction: 1, frozen: ["0.A", "1.A"] },
    blocks: { boundary: 1, frozenBlocks: 1 },
  });
  expect(both.frozenBlocks!()).toEqual({ count: 2, parameters: new Set(["0.d", "0.A", "1.d", "1.A"]) });
  expect(both.trainable()).toEqual(new Set(["2.d"]));
  expect(both.note).toBe("its own note");
});

test("the state contains the method's state, and both schedules resume from it", () => {
  const settings: BlockFreezingSettings = {
    freezeBlocks: "linear",
    freezeBlocksEarliest: "0",
    freezeBlocksInterval: "4",
  };
  const first = schedule(settings);
  for (let step = 0; step < 14; step++) first.observe!(step, gradients, gradients);
  const saved = structuredClone(first.state!());
  expect([...saved.tensors.keys()]).toEqual(["0.A.average"]);
  const second = schedule(settings, saved);
  expect(second.state!()).toEqual(first.state!());
  expect(second.frozenBlocks!().count).toBeGreaterThan(0);
  expect(second.trainable()).toEqual(first.trainable());
  expect(() => schedule(settings, { scalars: { last: 3 }, tensors: new Map() })).toThrow(
    "state of the blocks' schedule",
  );
});

test("a note says that a run is too short; models without known blocks and options without a rule are refused", () => {
  expect(schedule({ freezeBlocks: "linear", freezeBlocksEarliest: "39" }).note).toBe("its own note");
  const lastMoment = { freezeBlocks: "linear", freezeBlocksEarliest: "36", freezeBlocksInterval: "4" } as const;
  expect(schedule(lastMoment).note).toBe("its own note");
  for (const [freezeBlocksEarliest, freezeBlocksInterval] of [
    [undefined, "50"],
    ["0", "50"],
    ["39", "4"],
  ]) {
    expect(schedule({ freezeBlocks: "linear", freezeBlocksEarliest, freezeBlocksInterval }).note).toMatch(
      /^its own note; the run's 40 steps are too few for blocks to freeze/,
    );
  }
  const lost = () => withBlockFreezing(ofMethod, { freezeBlocks: "linear" }, { ...model, trained: [] }, run);
  expect(lost).toThrow("the model does not distinguish its blocks");
  expect(() => schedule({ freezeBlocksMost: 2 })).toThrow('"freezeBlocksMost" requires option "freezeBlocks"');
  expect(() => schedule({ freezeBlocks: "linear", freezeBlocksMost: 4 })).toThrow("the model has 3 blocks");
  expect(() => schedule({ freezeBlocks: "linear", freezeBlocksMost: 3 })).not.toThrow();
});
