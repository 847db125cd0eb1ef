import { describe, expect, test } from "vitest";
import type { EncoderArchitecture } from "../../src/architectures/architecture.ts";
import { describeModel, type ModelDescription } from "../../src/architectures/families.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { PaddedStream } from "../../src/architectures/streams/padded-stream.ts";
import { traceModel, writeEncoder } from "../../src/architectures/trace.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import { fullName } from "../../src/export/hugging-face.ts";
import { bytesSource } from "../../src/files/byte-source.ts";
import { Graph } from "../../src/graph/graph.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { modelBytes } from "../../src/graph/onnx-model.ts";
import { reshape } from "../../src/graph/ops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { crossEntropy, indexCrossEntropy } from "../../src/tasks/losses/objective.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";
import { withLabel } from "../support/autograd.ts";
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
    "%s: the gradient of every parameter (recomputed blocks: %s)",
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

  test.each(["t5-1", "t5-2"])("%s: its encoder, from the ONNX file that aflora writes", async (name) => {
    const { model, weights, numbers } = await loadSeq2Seq(name);
    const { maxLength, hiddenSize } = model.config;
    const graph = new Graph();
    const stream = new PaddedStream(graph, maxLength);
    const context = new ForwardContext(graph, { trains: () => false, dropout: false, stream: () => stream });
    const { hidden } = writeEncoder(context, model);
    const states = { last_hidden_state: reshape(hidden, ["batch", "sequence", hiddenSize]) };
    const bytes = modelBytes(
      onnxModel(states, { embedded: new Map<string, Tensor>([...weights, ...stream.tables]) }).model,
    );
    const source = await openOnnx(bytesSource(name, bytes), memoryFiles(name, {}), "");

    const read = describeModel({ model_type: "t5" }, source.network);
    const encoder = { ...read.architecture, ...model.architecture, kind: "encoder", heads: read.architecture.heads };
    const own: ModelDescription = { architecture: encoder as EncoderArchitecture, config: model.config };
    const head = new Map([
      [
        "classifier.weight",
        float32(
          [3, hiddenSize],
          Float32Array.from({ length: 3 * hiddenSize }, (_, i) => (i % 7) / 7),
        ),
      ],
      ["classifier.bias", float32([3])],
    ]);
    const gradientsOf = async (description: ModelDescription, backbone: Tensors) => {
      const adapted = { ...description, adaptation: full.adapt({}, []), labelCount: 3, trainsHead: () => true };
      const examples = numbers.examples.map(({ inputIds }, i) =>
        withLabel(
          {
            index: i,
            encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: new Int32Array(inputIds.length) },
          },
          i % 3,
        ),
      );
      const { outputs, streams } = writeStep(adapted, crossEntropy, { dropout: false });
      const compiled = await runtime.compile(outputs, new Map([...backbone, ...head]));
      const results = await compiled.run({
        ...layOut(streams, examples).inputs,
        ...objectiveInputs(crossEntropy, 3, examples, totalWeight(examples)),
      });
      await compiled.release();
      return results;
    };
    const stored = await readModelWeights(source, read, traceModel(read, 3));
    expect(stored.unused).toEqual([]);
    const expected = await gradientsOf(own, weights);
    const found = await gradientsOf(read, stored.weights);
    expect(found.loss!.data[0]).toBeCloseTo(Number(expected.loss!.data[0]), 5);
    const gradients = Object.keys(expected).filter((key) => key.startsWith(GRADIENT));
    expect(gradients.length).toBeGreaterThan(15);
    for (const key of gradients) {
      const data = expected[key]!.data as Float32Array;
      const scale = Math.max(1e-4, ...data.map(Math.abs));
      expect(worst(found[key]!.data as Float32Array, data) / scale, key).toBeLessThan(1e-4);
    }
  });
});
