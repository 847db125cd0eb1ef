import { join } from "node:path";
import { expect } from "vitest";
import type { ModelDescription } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { type ModelTrace, traceModel } from "../../src/architectures/trace.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import type { EncodedExample, TrainingExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";
import { runtime } from "./runtime.ts";

/** What PyTorch says of a classifier of three labels, `[16]` wide, on a model whose folder has gradients.safetensors. */
export interface ExpectedClassifier {
  logits: number[][];
  loss: number;
  classifier: { weight: number[][]; bias: number[] };
}

/** An example of a label of three. */
export const withLabel = (example: EncodedExample, label: number): TrainingExample => ({
  ...example,
  targets: float32(
    [1, 3],
    Float32Array.from([0, 1, 2], (each) => Number(each === label)),
  ),
  weights: Float32Array.of(1),
});

/**
 * Holds a model's logits, loss and gradients of all its weights to PyTorch's and autograd's.
 * @returns what it is made of, the tensors that it has no use for, and how many gradients of autograd's it lacks
 */
export async function expectLikeAutograd(
  folder: string,
  description: ModelDescription,
  expected: ExpectedClassifier,
  examples: readonly TrainingExample[],
): Promise<{ trace: ModelTrace; unused: string[]; lacking: number }> {
  const { weights: source } = await openModelFolder(await modelFiles(folder));
  const trace = traceModel(description, 3);
  const { weights, unused } = await readModelWeights(source, description, trace);
  weights.set("classifier.weight", float32([3, 16], Float32Array.from(expected.classifier.weight.flat())));
  weights.set("classifier.bias", float32([3], Float32Array.from(expected.classifier.bias)));
  const model = { ...description, adaptation: full.adapt({}, []), labelCount: 3, trainsHead: () => true };

  const inference = writeInference(model);
  const compiled = await runtime.compile(inference.outputs, weights);
  const { logits } = await compiled.run(layOut(inference.streams, examples).inputs);
  await compiled.release();
  expected.logits.flat().forEach((value, i) => {
    expect(Math.abs(Number(logits!.data[i]) - value)).toBeLessThan(1e-5);
  });

  const step = writeStep(model, crossEntropy, { dropout: false });
  const trained = await runtime.compile(step.outputs, weights);
  const results = await trained.run({
    ...layOut(step.streams, examples).inputs,
    ...objectiveInputs(crossEntropy, 3, examples, totalWeight(examples)),
  });
  await trained.release();
  expect(Math.abs(Number(results.loss!.data[0]) - expected.loss)).toBeLessThan(1e-5);
  const gradients = await openSafetensorsFile(join(folder, "gradients.safetensors"));
  const found = [...gradients.tensors.keys()].filter((each) => results[GRADIENT + each]);
  for (const each of found) {
    const values = (await gradients.read(each)).data;
    const scale = Math.max(1e-3, ...values.map(Math.abs));
    results[GRADIENT + each]!.data.forEach((value, i) => {
      expect(Math.abs(Number(value) - values[i]!) / scale, each).toBeLessThan(1e-4);
    });
  }
  return { trace, unused, lacking: gradients.tensors.size - found.length };
}
