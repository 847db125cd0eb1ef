import { expect, test } from "vitest";
import { Predictor } from "../../../src/training/prediction/predictor.ts";
import { runtime } from "../../support/runtime.ts";
import { smallBert } from "../../support/small-bert.ts";

test("a run of the graph has as many tokens as its options allow, 2048 if they do not say", async () => {
  const base = await smallBert(1);
  const adaptation = { modules: [], parameters: [], trainable: new Set<string>() };
  const model = { ...base, adaptation, trainsHead: () => false };
  const examples = Array.from({ length: 206 }, (_, index) => ({
    index,
    encoding: { inputIds: new Int32Array(10).fill(7), tokenTypeIds: new Int32Array(10) },
  }));
  /** Numbers of examples that are done after each run. */
  const runs = async (count: number, tokenBudget?: number): Promise<number[]> => {
    const predictor = await Predictor.compile(model, base.weights, runtime, { ...(tokenBudget && { tokenBudget }) });
    const done: number[] = [];
    await predictor.logits(examples.slice(0, count), undefined, undefined, (part) => void done.push(part));
    await predictor.release();
    return done;
  };
  expect(await runs(6, 20)).toEqual([2, 4, 6]);
  expect(await runs(6)).toEqual([6]);
  expect(await runs(204)).toEqual([204]);
  expect(await runs(206)).toHaveLength(2);
});
