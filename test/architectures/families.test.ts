import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { describeModel, FAMILIES, type ModelDescription } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { PaddedStream } from "../../src/architectures/streams/padded-stream.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { fileSource, folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { openOnnx } from "../../src/checkpoints/onnx/onnx-format.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { bytesSource } from "../../src/files/byte-source.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { modelBytes } from "../../src/graph/onnx-model.ts";
import { float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { head as headMethod } from "../../src/methods/head.ts";
import { binaryCrossEntropy, crossEntropy, type Objective, squaredError } from "../../src/tasks/losses/objective.ts";
import type { EncodedExample, TrainingExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { type AdaptedModel, GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";
import { runtime } from "../support/runtime.ts";

const folder = new URL("../fixtures/models/", import.meta.url);
interface Fixture {
  examples: { inputIds: number[]; tokenTypeIds: number[]; label: number | number[]; logits: number[] }[];
  loss: number;
}

interface TokenFixture {
  examples: { labels: number[]; logits: number[][] }[];
  loss: number;
}

async function onnxFixture(name: string): Promise<TensorSource> {
  const path = fileURLToPath(new URL(`../onnx/${name}.onnx`, folder));
  return openOnnx(await fileSource(path), folderFiles(dirname(path)), "");
}
const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const open = (name: string): Promise<TensorSource> => openSafetensorsFile(fileURLToPath(new URL(name, folder)));

/** Trains every weight of the model, to check all gradients. */
const everything = full.adapt({}, []);
const headOnly = headMethod.adapt({}, []);

const folders = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/config.json`, folder)));

test("every family has at least two fixtures", () => {
  for (const modelType of FAMILIES.names) {
    const own = folders.filter((name) => read(`${name}/config.json`).model_type === modelType);
    expect(own.length, modelType).toBeGreaterThanOrEqual(2);
  }
});

describe("families against transformers and autograd (oracle/models.py)", () => {
  test.each(folders.filter((name) => existsSync(new URL(`${name}/inputs.json`, folder))))("%s", async (name) => {
    await expectModel(name, await open(`${name}/model.safetensors`));
  });

  // From PyTorch's older and newer exporter, by oracle/onnx_files.py.
  test.each(["bert-1", "deberta-v2-1", "distilbert-1", "modernbert-1"])("%s from an ONNX file", async (name) => {
    const source = await onnxFixture(name);
    const description = await expectModel(name, source);
    const own = describeModel(read(`${name}/config.json`));
    const modules = (model: ModelDescription) => traceModel(model, 2).modules;
    expect(modules(description)).toEqual(modules(own));
    expect(description.config).toEqual({ ...own.config, usesTokenTypes: name === "bert-1" });
  });

  test.each(["bert-1", "deberta-v2-1", "mpnet-1"])("%s from the ONNX file that aflora writes", async (name) => {
    const own = describeModel(read(`${name}/config.json`));
    const { labelCount } = own.config;
    const trace = traceModel(own, labelCount);
    const { weights } = await readModelWeights(await open(`${name}/model.safetensors`), own, trace);
    const model: AdaptedModel = { ...own, adaptation: everything, labelCount, trainsHead: () => true };
    let stream: PaddedStream | undefined;
    const { outputs } = writeInference(model, {
      stream(graph) {
        stream ??= new PaddedStream(graph, own.config.maxLength);
        return stream;
      },
    });
    const bytes = modelBytes(
      onnxModel(outputs, { embedded: new Map<string, Tensor>([...weights, ...stream!.tables]) }).model,
    );
    const source = await openOnnx(bytesSource(name, bytes), memoryFiles(name, {}), "");
    const description = await expectModel(name, source);
    expect(traceModel(description, labelCount).modules).toEqual(trace.modules);
  });

  async function expectModel(name: string, source: TensorSource): Promise<ModelDescription> {
    const rawConfig = read(`${name}/config.json`);
    const { examples, loss: expectedLoss } = read(`${name}/inputs.json`) as Fixture;
    const description = describeModel(rawConfig, source.network);
    const labelCount = description.config.labelCount;
    const trace = traceModel(description, labelCount);
    const { weights, missing, unused } = await readModelWeights(source, description, trace);
    expect([missing, unused]).toEqual([[], []]);
    const model: AdaptedModel = { ...description, adaptation: everything, labelCount, trainsHead: () => true };
    const encoded = examples.map(encodedOf);

    const logits = await runInference(model, weights, encoded);
    examples.forEach((example, row) => {
      expectLogits(logits, row, example.logits);
    });

    const objective = objectiveOf(rawConfig.problem_type);
    const labelled = examples.map(({ label }, i): TrainingExample => {
      const targets = new Float32Array(labelCount);
      if (objective === crossEntropy) targets[label as number] = 1;
      else targets.set([label].flat());
      return { ...encoded[i]!, targets: float32([1, labelCount], targets), weights: Float32Array.of(1) };
    });
    const results = await runStep(model, objective, weights, labelled);
    expect(results.loss!.data[0]).toBeCloseTo(expectedLoss, 5);
    await expectGradients(description, results, await open(`${name}/gradients.safetensors`));
    return description;
  }

  const withTokens = folders.filter((name) => existsSync(new URL(`${name}/token-classification.json`, folder)));
  test.each(withTokens)("%s for tokens", async (name) => {
    const { examples } = read(`${name}/inputs.json`) as Fixture;
    const tokens = read(`${name}/token-classification.json`) as TokenFixture;
    const description = describeModel(read(`${name}/config.json`));
    const labelCount = tokens.examples[0]!.logits[0]!.length;
    const trace = traceModel(description, labelCount, "token");
    // The backbone is the sequence classifier's; a module of the head may have the same name in both.
    const { weights } = await readModelWeights(await open(`${name}/model.safetensors`), description, {
      ...trace,
      weights: new Map([...trace.weights].filter(([, { part }]) => part === "backbone")),
    });
    const expected = await open(`${name}/token-classification.safetensors`);
    const heads = [...trace.weights.values()].filter(({ part }) => part === "head");
    for (const each of heads) weights.set(each.name, await expected.read(each.name));
    const model: AdaptedModel = {
      ...description,
      adaptation: headOnly,
      labelCount,
      head: "token",
      trainsHead: () => true,
    };
    const encoded = examples.map(encodedOf);

    const everyToken = encoded.map((each) => ({
      ...each,
      rows: each.encoding.inputIds.map((_, position) => position),
    }));
    const logits = await runInference(model, weights, everyToken);
    tokens.examples
      .flatMap((example) => example.logits)
      .forEach((token, row) => {
        expectLogits(logits, row, token);
      });

    const labelled = tokens.examples.map(({ labels }, i): TrainingExample => {
      const rows = Int32Array.from([...labels.keys()].filter((position) => labels[position]! >= 0));
      const targets = new Float32Array(rows.length * labelCount);
      rows.forEach((position, row) => {
        targets[row * labelCount + labels[position]!] = 1;
      });
      const weights = new Float32Array(rows.length).fill(1);
      return { ...encoded[i]!, rows, targets: float32([rows.length, labelCount], targets), weights };
    });
    const results = await runStep(model, crossEntropy, weights, labelled);
    expect(results.loss!.data[0]).toBeCloseTo(tokens.loss, 5);
    for (const { name: weight } of heads) {
      expectClose(
        weight,
        results[GRADIENT + weight]!.data as Float32Array,
        (await expected.read(`gradients.${weight}`)).data,
      );
    }
  });
});

function encodedOf({ inputIds, tokenTypeIds }: Fixture["examples"][number], index: number): EncodedExample {
  return { index, encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: Int32Array.from(tokenTypeIds) } };
}

async function runInference(model: AdaptedModel, weights: Tensors, examples: readonly EncodedExample[]) {
  const { outputs, streams } = writeInference(model);
  const compiled = await runtime.compile(outputs, weights);
  const { logits } = await compiled.run(layOut(streams, examples).inputs);
  await compiled.release();
  return logits!.data as Float32Array;
}

async function runStep(
  model: AdaptedModel,
  objective: Objective,
  weights: Tensors,
  examples: readonly TrainingExample[],
): Promise<Record<string, Tensor>> {
  const { outputs, streams } = writeStep(model, objective, { dropout: false });
  const compiled = await runtime.compile(outputs, weights);
  const results = await compiled.run({
    ...layOut(streams, examples).inputs,
    ...objectiveInputs(objective, model.labelCount, examples, totalWeight(examples)),
  });
  await compiled.release();
  return results;
}

function objectiveOf(problemType: string): Objective {
  if (problemType === "regression") return squaredError;
  return problemType === "multi_label_classification" ? binaryCrossEntropy : crossEntropy;
}

function expectLogits(logits: Float32Array, row: number, expected: readonly number[]): void {
  expected.forEach((value, label) => {
    expect(Math.abs(logits[row * expected.length + label]! - value)).toBeLessThan(1e-4);
  });
}

/** Checks that all gradients of the fixture exist and are equal. */
async function expectGradients(
  { architecture }: ModelDescription,
  results: Record<string, Tensor>,
  expected: TensorSource,
): Promise<void> {
  for (const full of expected.tensors.keys()) {
    const names = [full, full.slice(architecture.prefix.length + 1)];
    const name = names.find((candidate) => results[GRADIENT + candidate]);
    expect(name, full).toBeDefined();
    expectClose(full, results[GRADIENT + name]!.data as Float32Array, (await expected.read(full)).data);
  }
}

/** Rounding error of a gradient that is zero (a key's bias, to which softmax is invariant); it differs between processors. */
const ZERO = 1e-6;

/** Relative to the largest element; zeros must be zeros here too. */
function expectClose(name: string, found: Float32Array, expected: Float32Array): void {
  const largest = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(found.length, name).toBe(expected.length);
  const scale = largest(expected);
  if (scale < ZERO) expect(largest(found), name).toBeLessThan(ZERO);
  else expect(largest(found.map((value, i) => value - expected[i]!)) / Math.max(1e-4, scale), name).toBeLessThan(1e-3);
}
