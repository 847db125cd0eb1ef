import { beforeAll, expect, test } from "vitest";
import { Evaluator, examplesAtOnce } from "../../../src/training/evaluation/evaluate.ts";
import { runtime } from "../../support/runtime.ts";
import { type Base, smallBert } from "../../support/small-bert.ts";
import { examplesOf, TASK } from "../small-run.ts";

let base: Base;
beforeAll(async () => {
  base = await smallBert(1);
});

const compile = () => {
  const adaptation = { modules: [], parameters: [], trainable: new Set<string>() };
  const model = { ...base, adaptation, trainsHead: () => false };
  return Evaluator.compile(model, base.weights, runtime, TASK, { tokenBudget: 40, batchSize: 6 });
};

test("a single split has standard errors, and several have metrics by their names", async () => {
  const evaluator = await compile();
  const examples = examplesOf(9);
  const splits = ["validation_matched", "validation_mismatched"].map((name) => ({ name, examples, encoded: examples }));
  const single = await evaluator.evaluate(splits.slice(0, 1));
  const several = await evaluator.evaluate(splits);
  await evaluator.release();
  const { accuracy } = single.metrics;
  // As many groups are left out as there are examples: the error is that of a mean.
  expect(single.errors!.accuracy).toBeCloseTo(Math.sqrt((accuracy! * (1 - accuracy!)) / 8), 12);
  expect(several.metrics).toEqual({ accuracy_matched: accuracy, accuracy_mismatched: accuracy });
  expect(several.errors).toBeUndefined();
  expect(several.loss).toBeCloseTo(single.loss, 12);
});

test("memory holds whole batches of at most 2²⁵ outputs at once, and one batch at least", () => {
  expect(examplesAtOnce(8, 2 ** 12)).toBe(2 ** 13);
  expect(examplesAtOnce(6, 10_000)).toBe(6 * 559);
  expect(examplesAtOnce(64, 2 ** 20)).toBe(64);
});

test("up to a thousand examples have standard errors", async () => {
  const evaluator = await compile();
  const errorsOf = async (count: number) => {
    const examples = examplesOf(count);
    return (await evaluator.evaluate([{ name: "validation", examples, encoded: examples }])).errors;
  };
  const [most, tooMany] = [await errorsOf(1000), await errorsOf(1001)];
  await evaluator.release();
  expect(most).toHaveProperty("accuracy");
  expect(tooMany).toBeUndefined();
});
