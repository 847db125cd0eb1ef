import { expect, test } from "vitest";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { exampleOf, LABELS, randomModel } from "../support/random-model.ts";
import { runtime } from "../support/runtime.ts";
import { readJson } from "../support/small-bert.ts";

const DROPOUT = { hidden_dropout_prob: 0.1, attention_dropout: 0.1, attn_pdrop: 0.1, resid_pdrop: 0.1 };

const examples = [7, 3, 12].map(exampleOf);

test.each([
  ["bert-1", "full"],
  ["modernbert-2", "lora"],
  ["deberta-v2-2", "full"],
  ["mpnet-1", "aflora"],
  ["llama-2", "adalora"],
  ["gemma3-1", "full"],
  ["gpt2-1", "aflora"],
])("%s with %s: a step whose blocks are computed again is the same step", async (name, methodName) => {
  const { model, weights } = randomModel({ ...readJson(`models/${name}/config.json`), ...DROPOUT }, methodName, LABELS);
  const settings = { objective: crossEntropy, tokenBudget: 16, dropout: true, seed: 1 };
  const outcomes = [];
  for (const recompute of [false, true]) {
    const step = await TrainingStep.compile(model, weights, runtime, { ...settings, recompute });
    const { loss, gradients, flops } = await step.run(0, examples);
    outcomes.push({ loss, gradients: new Map([...gradients].map(([key, { data }]) => [key, [...data]])), flops });
    await step.release();
  }
  const [kept, again] = outcomes;
  expect([...kept!.gradients.values()].flat().some((value) => value !== 0)).toBe(true);
  expect(again!.loss).toBe(kept!.loss);
  expect([...again!.gradients.keys()]).toEqual([...kept!.gradients.keys()]);
  for (const [parameter, expected] of kept!.gradients) {
    const found = again!.gradients.get(parameter)!;
    const largest = Math.max(...expected.map(Math.abs));
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - found[i]!)));
    // Parameters that several blocks share may be summed in another order; everything else is equal to the bit.
    expect(worst, parameter).toBeLessThanOrEqual(methodName === "full" ? 1e-6 * largest : 0);
  }
  expect(again!.flops).toBeGreaterThan(1.1 * kept!.flops);
});
