import { describe, expect, test } from "vitest";
import { fullName } from "../../src/export/hugging-face.ts";
import { asFloat32 } from "../../src/graph/tensor.ts";
import { indexCrossEntropy } from "../../src/tasks/losses/objective.ts";
import { layOut } from "../../src/training/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective-inputs.ts";
import { GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";
import { runtime } from "../support/runtime.ts";
import { exampleOf, loadSeq2Seq, SEQ2SEQ } from "../support/seq2seq-fixture.ts";

const worst = (found: Float32Array, expected: Float32Array): number => {
  expect(found).toHaveLength(expected.length);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
};

describe("encoder-decoders against transformers and autograd (oracle/encoder_decoders.py)", () => {
  test.each(SEQ2SEQ)("%s: logits of every target token", async (name) => {
    const { model, weights, missing, unused, expected, numbers } = await loadSeq2Seq(name);
    expect([missing, unused]).toEqual([[], []]);
    const { outputs, streams } = writeInference(model);
    const compiled = await runtime.compile(outputs, weights);
    const { logits } = await compiled.run(layOut(streams, numbers.examples.map(exampleOf)).inputs);
    await compiled.release();
    expect(worst(asFloat32(logits!).data, (await expected.read("logits")).data)).toBeLessThan(1e-4);
  });

  test.each(SEQ2SEQ.flatMap((name) => [[name, false] as const, [name, true] as const]))(
    "%s: the gradient of every parameter (blocks computed again: %s)",
    async (name, recompute) => {
      const { model, trace, weights, expected, numbers } = await loadSeq2Seq(name);
      const examples = numbers.examples.map(exampleOf);
      const { outputs, streams } = writeStep(model, indexCrossEntropy, { dropout: false, recompute });
      const compiled = await runtime.compile(outputs, weights);
      const results = await compiled.run({
        ...layOut(streams, examples).inputs,
        ...objectiveInputs(indexCrossEntropy, model.labelCount, examples, totalWeight(examples)),
      });
      await compiled.release();
      expect(results.loss!.data[0]).toBeCloseTo(numbers.loss, 5);
      const parameters = [...trace.weights.values()].filter(({ buffer }) => !buffer);
      const names = parameters.map((weight) => [weight.name, `gradients.${fullName(model, weight)}`]);
      const stored = [...expected.tensors.keys()].filter((key) => key.startsWith("gradients."));
      expect(names.map(([, key]) => key).sort()).toEqual(stored.sort());
      for (const [own, key] of names as [string, string][]) {
        const { data } = await expected.read(key);
        const scale = Math.max(1e-4, ...data.map(Math.abs));
        expect(worst(results[GRADIENT + own]!.data as Float32Array, data) / scale, own).toBeLessThan(1e-3);
      }
    },
  );
});
