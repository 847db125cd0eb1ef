import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { initialParameters } from "../../src/base-models/fitted-adapter.ts";
import { gemm, logSoftmax, mul, neg, sumAll } from "../../src/graph/ops.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { full } from "../../src/methods/full.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { binaryCrossEntropy, crossEntropy, type Objective, squaredError } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { Predictor } from "../../src/training/prediction/predictor.ts";
import { type StepOutcome, type StepSettings, TrainingStep } from "../../src/training/step.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { runtime } from "../support/runtime.ts";
import { type Base, layersOf, relativeError, smallBert } from "../support/small-bert.ts";
import { rowLosses } from "./row-loss.ts";
import { encodingOf, examplesOf } from "./small-run.ts";

let model: AdaptedModel;
let weights: Map<string, Tensor<"float32">>;
beforeAll(async () => {
  const base: Base = await smallBert();
  const adaptation = aflora.adapt(aflora.options.parse({}), layersOf(base));
  weights = new Map(base.weights);
  const initial = initialParameters(adaptation, 1, (module) => base.weights.get(`${module}.weight`)!);
  for (const [name, values] of initial) {
    // At b = 0 only b has a gradient.
    weights.set(name, name.endsWith(".b") ? normal(0.5)(values.shape, randomFor(1, name)) : values);
  }
  model = { ...base, adaptation, trainsHead: () => true };
});

const compiled: TrainingStep[] = [];
afterEach(async () => {
  for (const step of compiled.splice(0)) await step.release();
});

/** The batch's loss and gradients, in micro-batches of `tokenBudget` tokens. */
async function run(
  batch: readonly TrainingExample[],
  tokenBudget: number,
  { step = 3, ...settings }: Partial<StepSettings> & { step?: number } = {},
): Promise<StepOutcome> {
  const defaults = { objective: crossEntropy, dropout: true, seed: 5 } as const;
  const made = await TrainingStep.compile(model, weights, runtime, { ...defaults, ...settings, tokenBudget });
  compiled.push(made);
  return made.run(step, batch);
}

/** Checks equality except for float32 rounding errors, because sums have another order. */
function expectSame(found: StepOutcome, expected: StepOutcome): void {
  expect(found.loss).toBeCloseTo(expected.loss, 6);
  expect(new Set(found.gradients.keys())).toEqual(new Set(expected.gradients.keys()));
  for (const [name, gradient] of expected.gradients) {
    expect(relativeError(found.gradients.get(name)!, gradient), name).toBeLessThan(2e-5);
  }
  expect(found.tokens).toBe(expected.tokens);
}

describe("micro-batches, with dropout, equal the batch in one piece", () => {
  // Lengths from 5 to 17; every third example is a pair.
  const batch = examplesOf(12);
  const lengths = batch.map(({ encoding }) => encoding.inputIds.length);

  test.each([1, 30, 60])("cut at %i tokens", async (budget) => {
    const whole = await run(batch, 12 * 17);
    expect(whole.gradients.size).toBeGreaterThan(30);
    for (const [name, gradient] of whole.gradients) {
      expect(
        gradient.data.some((value) => value !== 0),
        name,
      ).toBe(true);
    }
    expectSame(await run(batch, budget), whole);
  });

  test("padding is computed only in attention", async () => {
    const real = lengths.reduce((sum, length) => sum + length, 0);
    const [whole, cut] = [await run(batch, 12 * 17), await run(batch, 30)];
    expect([whole.tokens, cut.tokens]).toEqual([real, real]);
    expect(cut.flops).toBeLessThan(whole.flops);
    expect(cut.flops).toBeGreaterThan(0.9 * whole.flops);
  });

  test("an objective that needs the whole batch gets it, for any micro-batches", async () => {
    // The loss distinguishes each example from all others by comparing outputs.
    const contrastive: Objective = {
      couples: "batch",
      target: crossEntropy.target,
      loss: (outputs, _targets, weights) => {
        const own = logSoftmax(gemm(outputs, outputs, { transB: true, alpha: 0.3 }));
        return neg(sumAll(mul(mul(own, own), weights)));
      },
    };
    const settings = { objective: contrastive };
    const whole = await run(batch, 12 * 17, settings);
    for (const [name, gradient] of whole.gradients) expect(gradient.data.some(Boolean), name).toBe(true);
    const cut = await run(batch, 30, settings);
    expectSame(cut, whole);
    // A cut batch first goes through the model without gradients; a whole one does not.
    expect(whole.flops / cut.flops).toBeLessThan(0.85);
    expect(whole.flops / (await run(batch, 12 * 17)).flops).toBeCloseTo(1, 2);
    // The loss is not a sum over parts of the batch.
    const [half] = [await run(batch.slice(0, 6), 100, settings)];
    expect(half.loss).not.toBeCloseTo(whole.loss, 2);
  });

  test("its gradients are those of the graph", async () => {
    const alone: Objective = { ...crossEntropy, couples: "batch" };
    expectSame(await run(batch, 30, { objective: alone }), await run(batch, 30));
  });

  test("a partial last batch has the mean gradients of its examples, which are the same alone", async () => {
    const partial = examplesOf(20).slice(18);
    const alone = [await run([partial[0]!], 1000), await run([partial[1]!], 1000)] as const;
    const together = await run(partial, 1000);
    expect(together.loss).toBeCloseTo((alone[0].loss + alone[1].loss) / 2, 6);
    for (const [name, gradient] of together.gradients) {
      const [a, b] = alone.map(({ gradients }) => gradients.get(name)!);
      expect(
        relativeError(
          gradient,
          float32(
            a!.shape,
            a!.data.map((value, i) => (value + b!.data[i]!) / 2),
          ),
        ),
        name,
      ).toBeLessThan(2e-5);
    }
  });

  test("also if all of a large model trains: the graph sums its gradients in arrays of the step", async () => {
    const description = describeModel({
      ...{ model_type: "bert", vocab_size: 2 ** 17, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2 },
      ...{ intermediate_size: 48, max_position_embeddings: 20 },
    });
    const large = new Map<string, Tensor<"float32">>();
    for (const { name, shape } of traceModel(description, 3).weights.values()) {
      large.set(name, normal(0.3)(shape as number[], randomFor(2, name)));
    }
    const adapted = { ...description, adaptation: full.adapt({}, []), labelCount: 3, trainsHead: () => true };
    const compile = async (tokenBudget: number): Promise<TrainingStep> => {
      const settings = { objective: crossEntropy, dropout: true, seed: 5, tokenBudget };
      compiled.push(await TrainingStep.compile(adapted, large, runtime, settings));
      return compiled.at(-1)!;
    };
    const whole = await (await compile(12 * 17)).run(3, batch);
    const cut = await compile(30);
    const other = await cut.run(2, batch);
    const found = await cut.run(3, batch);
    // A bias of all keys does not change probabilities: its gradient is a rounding error.
    const nothing = "encoder.layer.0.attention.self.key.bias";
    for (const { gradients } of [found, whole, other]) expect(gradients.delete(nothing)).toBe(true);
    expectSame(found, whole);
    for (const [name, { data }] of other.gradients) expect(found.gradients.get(name)!.data).toBe(data);
    expect(found.loss).not.toBe(other.loss);
  });

  test("also with class weights", async () => {
    const weighted = batch.map((example) => ({ ...example, weights: Float32Array.of([0.5, 1, 3][example.label]!) }));
    expectSame(await run(weighted, 30), await run(weighted, 12 * 17));
  });

  test("masks change only with the step and the seed", async () => {
    const first = await run(batch, 60);
    expect((await run(batch, 60)).loss).toBe(first.loss);
    expect((await run(batch, 60, { step: 4 })).loss).not.toBe(first.loss);
    expect((await run(batch, 60, { seed: 6 })).loss).not.toBe(first.loss);
    // Other examples in the batch, in another order: an example keeps its masks.
    expectSame(await run(batch.toReversed(), 30), first);
  });
});

describe("the loss is the weighted mean over examples", () => {
  test.each([
    ["cross-entropy", crossEntropy, (index: number) => [0, 1, 2].map((label) => Number(label === index % 3))],
    ["binary cross-entropy", binaryCrossEntropy, (index: number) => [index % 2, Number(index % 3 === 0), 1]],
    ["squared error", squaredError, (index: number) => [index / 4, -1, 0.5]],
  ])("%s", async (_, objective, targetsOf) => {
    const batch = Array.from({ length: 7 }, (_, index): TrainingExample => {
      const targets = float32([1, 3], Float32Array.from(targetsOf(index)));
      return { index, encoding: encodingOf(index), targets, weights: Float32Array.of(1 + (index % 3)) };
    });
    const { loss } = await run(batch, 40, { objective, dropout: false });
    const predictor = await Predictor.compile(model, weights, runtime);
    const logits = await predictor.logits(batch);
    await predictor.release();
    const total = batch.reduce((sum, example) => sum + example.weights[0]!, 0);
    const sum = batch.reduce(
      (all, example, i) =>
        all + example.weights[0]! * rowLosses.get(objective)!(logits[i]!, example.targets.data as Float32Array),
      0,
    );
    expect(loss).toBeCloseTo(sum / total, 5);
  });
});
