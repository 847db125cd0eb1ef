import { expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { lora } from "../../src/methods/lora.ts";
import { TrainedParameters } from "../../src/training/trained-parameters.ts";
import { Bench, smallBert } from "../support/small-bert.ts";

test("saved parameters of another model or method are refused", async () => {
  const { model, weights } = Bench.create(await smallBert(1), lora);
  const schedule = { trainable: () => model.adaptation.trainable };
  const saved = new TrainedParameters(model, schedule, weights).copy();
  const resumed = (changes: ReadonlyMap<string, ReturnType<typeof float32>>) =>
    new TrainedParameters(model, schedule, weights, { saved: { parameters: new Map([...saved, ...changes]) } });
  expect([...resumed(new Map()).tensors]).toEqual([...saved]);
  for (const name of ["classifier.bias", "of.another.method"])
    expect(() => resumed(new Map([[name, float32([1])]])), name).toThrow(UserError);
});

test("a parameter's learning rate is the method's times its own factor", async () => {
  const { model, weights } = Bench.create(await smallBert(1), lora, { loraplusLrRatio: 16 });
  const trained = new TrainedParameters(model, { trainable: () => model.adaptation.trainable }, weights);
  const groups = trained.groups({ learningRate: 0.5, headLearningRate: 3, weightDecay: 0.1 });
  const rates = new Map(groups.flatMap(({ names, learningRate }) => names.map((name) => [name, learningRate])));
  const layer = "encoder.layer.0.output.dense";
  expect([`${layer}.A`, `${layer}.B`, "classifier.weight"].map((name) => rates.get(name))).toEqual([0.5, 8, 3]);
});
