import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CachedStream } from "../../src/architectures/streams/cached-stream.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { fileSource } from "../../src/checkpoints/file-source-node.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { fullName } from "../../src/export/hugging-face.ts";
import { bytesSource } from "../../src/files/byte-source.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { modelBytes } from "../../src/graph/onnx-model.ts";
import { float32, type Tensor, type Tensors, transposed } from "../../src/graph/tensor.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import type { EncodedExample, TrainingExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { type AdaptedModel, GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";
import { DECODERS, exampleOf, infer, LABELS, loadDecoder, numbersOf } from "../support/decoder-fixture.ts";
import { runtime } from "../support/runtime.ts";

/** Every position of a text except the last `without`. */
const positions = (inputIds: readonly number[], without = 0): Int32Array =>
  Int32Array.from({ length: inputIds.length - without }, (_, position) => position);

const onnxFile = (name: string): string => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

/** With a class for each row that counts. */
function labelled(example: EncodedExample, classes: readonly number[], count: number): TrainingExample {
  const targets = new Float32Array(classes.length * count);
  classes.forEach((label, row) => {
    targets[row * count + label] = 1;
  });
  const weights = new Float32Array(classes.length).fill(1);
  return { ...example, targets: float32([classes.length, count], targets), weights };
}

describe("decoders against transformers and autograd (oracle/decoders.py)", () => {
  test.each(DECODERS)("%s as a language model", async (name) => {
    const { unused } = await expectLanguageModel(name);
    expect(unused).toEqual([]);
  });

  // From PyTorch's older and newer exporter, by oracle/onnx_files.py.
  test.each(["llama-1", "gpt2-1"])("%s from an ONNX file", async (name) => {
    const read = await expectLanguageModel(
      name,
      await openOnnx(await fileSource(onnxFile(name)), memoryFiles(name, {}), ""),
    );
    expect(read.weights).toEqual((await loadDecoder(name, "languageModel")).weights);
  });

  test.each(["llama-1", "llama-2", "qwen3-1", "gemma3-1"])("%s from the ONNX file that aflora writes", async (name) => {
    const { model, weights } = await loadDecoder(name, "languageModel");
    let stream: CachedStream | undefined;
    const { outputs } = writeInference(model, {
      stream(graph) {
        stream ??= new CachedStream(graph, model.config.maxLength);
        return stream;
      },
    });
    const all = { ...outputs, ...stream!.cache.present };
    const bytes = modelBytes(
      onnxModel(all, { embedded: new Map<string, Tensor>([...weights, ...stream!.tables]) }).model,
    );
    const read = await expectLanguageModel(name, await openOnnx(bytesSource(name, bytes), memoryFiles(name, {}), ""));
    expect(read.weights).toEqual(weights);
  });

  test("rejects an ONNX file whose weights have other names", async () => {
    const source = await openOnnx(await fileSource(onnxFile("llama-1")), memoryFiles("llama-1", {}), "");
    const tensors = new Map([...source.tensors].map(([name, tensor]) => [name.replace("q_proj", "query"), tensor]));
    await expect(loadDecoder("llama-1", "languageModel", { ...source, tensors })).rejects.toThrow(
      /has no tensor "layers.0.self_attn.q_proj.weight", which its config.json calls for; take the model's safetensors/,
    );
  });

  async function expectLanguageModel(name: string, source?: TensorSource) {
    const loaded = await loadDecoder(name, "languageModel", source);
    const { model, weights, missing, expected, numbers } = loaded;
    expect(missing).toEqual([]);

    const texts = numbers.examples.map(({ inputIds }) => inputIds);
    const logits = await infer(
      model,
      weights,
      texts.map((ids, i) => exampleOf(ids, i, positions(ids))),
    );
    expectNumbers(logits, await expected.read("logits"));

    const { inputIds, rows } = numbers.long;
    const last = positions(inputIds).subarray(-rows);
    expectNumbers(await infer(model, weights, [exampleOf(inputIds, 0, last)]), await expected.read("long.logits"));

    const examples = texts.map((ids, i) =>
      labelled(exampleOf(ids, i, positions(ids, 1)), ids.slice(1), model.labelCount),
    );
    const results = await train(model, weights, examples);
    expect(results.loss!.data[0]).toBeCloseTo(numbers.loss, 5);
    const compared = await expectGradients(model, results, expected, "gradients.");
    expect(compared.sort()).toEqual([...weights.keys()].sort());
    return loaded;
  }

  test.each(DECODERS)("%s for texts", async (name) => {
    const { model, weights, missing, expected, numbers } = await loadDecoder(name, "sequence");
    expect(missing.map((weight) => weight.name)).toEqual(["score.weight"]);
    const texts = numbers.examples.map(({ inputIds }, i) => exampleOf(inputIds, i));
    expectNumbers(await infer(model, weights, texts), await expected.read("sequence.logits"));
    const { labels, loss } = numbers.sequence!;
    const results = await train(
      model,
      weights,
      texts.map((example, i) => labelled(example, [labels[i]!], LABELS)),
    );
    expect(results.loss!.data[0]).toBeCloseTo(loss, 5);
    expect(await expectGradients(model, results, expected, "sequence.gradients.")).toContain("score.weight");
  });

  const withTokens = DECODERS.filter((name) => numbersOf(name).token);
  test.each(withTokens)("%s for words", async (name) => {
    const { model, weights, expected, numbers } = await loadDecoder(name, "token");
    const texts = numbers.examples.map(({ inputIds }, i) => exampleOf(inputIds, i, positions(inputIds)));
    expectNumbers(await infer(model, weights, texts), await expected.read("token.logits"));
    const { labels, loss } = numbers.token!;
    let row = 0;
    const examples = texts.map((example) => {
      const start = row;
      row += example.rows!.length;
      return labelled(example, labels.slice(start, row), LABELS);
    });
    const results = await train(model, weights, examples);
    expect(results.loss!.data[0]).toBeCloseTo(loss, 5);
    await expectGradients(model, results, expected, "token.gradients.");
  });

  test("names in checkpoints map back to the family's weights", async () => {
    for (const name of DECODERS) {
      const { model, expected } = await loadDecoder(name, "languageModel");
      const names = [...traceModel(model, 0, "languageModel").weights.values()].map((weight) =>
        fullName(model, weight),
      );
      const stored = [...expected.tensors.keys()].filter((key) => key.startsWith("gradients."));
      expect(names.map((each) => `gradients.${each}`).sort(), name).toEqual(stored.sort());
    }
  });
});

async function train(model: AdaptedModel, weights: Tensors, examples: readonly TrainingExample[]) {
  const { outputs, streams } = writeStep(model, crossEntropy, { dropout: false });
  const compiled = await runtime.compile(outputs, weights);
  const results = await compiled.run({
    ...layOut(streams, examples).inputs,
    ...objectiveInputs(crossEntropy, model.labelCount, examples, totalWeight(examples)),
  });
  await compiled.release();
  return results;
}

function expectNumbers(found: Float32Array, { data }: Tensor<"float32">): void {
  expect(found).toHaveLength(data.length);
  const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
  expect(worst).toBeLessThan(1e-4);
}

/**
 * Checks that the fixture's gradients are all found and equal, relative to the largest element. @returns their names
 */
async function expectGradients(
  model: AdaptedModel,
  results: Record<string, Tensor>,
  expected: TensorSource,
  prefix: string,
): Promise<string[]> {
  const { architecture, labelCount, head } = model;
  const { weights } = traceModel(model, labelCount, head);
  const keys = [...expected.tensors.keys()].filter((key) => key.startsWith(prefix));
  return Promise.all(
    keys.map(async (key) => {
      const full = key.slice(prefix.length);
      const name = full.startsWith(`${architecture.prefix}.`) ? full.slice(architecture.prefix.length + 1) : full;
      const stored = await expected.read(key);
      const { data } = weights.get(name)!.transposed ? transposed(stored) : stored;
      const found = results[GRADIENT + name]!.data as Float32Array;
      const scale = Math.max(1e-4, ...data.map(Math.abs));
      const worst = data.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i]!)), 0);
      expect(found.length, name).toBe(data.length);
      expect(worst / scale, name).toBeLessThan(1e-3);
      return name;
    }),
  );
}
