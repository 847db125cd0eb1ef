import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";
import type { Method } from "../../src/methods/method.ts";
import { describeModel, MODEL_TYPES, type ModelDescription } from "../../src/models/families.ts";
import { readModelWeights } from "../../src/models/model-weights.ts";
import { traceModel } from "../../src/models/trace.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import { binaryCrossEntropy, crossEntropy, type Objective, squaredError } from "../../src/tasks/objective.ts";
import { modelInputs } from "../../src/training/model-inputs.ts";
import { type AdaptedModel, GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";

const folder = new URL("../fixtures/models/", import.meta.url);
const runtime = nodeRuntime({ threads: 1 });

interface Fixture {
  examples: { inputIds: number[]; tokenTypeIds: number[]; label: number | number[]; logits: number[] }[];
  loss: number;
}

interface TokenFixture {
  examples: { labels: number[]; logits: number[][] }[];
  loss: number;
}

const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const open = (name: string): Promise<TensorSource> => openSafetensorsFile(new URL(name, folder).pathname);

/** Trains every weight of the model: only so are all gradients looked at. */
const everything: Method = { parameters: [], trainsBackbone: true, trainable: () => new Set() };
const headOnly: Method = { parameters: [], trainable: () => new Set() };

const folders = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/config.json`, folder)));

test("every family has two fixtures or more", () => {
  for (const modelType of MODEL_TYPES) {
    const own = folders.filter((name) => read(`${name}/config.json`).model_type === modelType);
    expect(own.length, modelType).toBeGreaterThanOrEqual(2);
  }
});

describe("families against transformers and autograd (oracle/models.py)", () => {
  test.each(folders)("%s", async (name) => {
    const rawConfig = read(`${name}/config.json`);
    const { examples, loss: expectedLoss } = read(`${name}/inputs.json`) as Fixture;
    const description = describeModel(rawConfig);
    const labelCount = description.config.labelCount;
    const { weights, missing, unused } = await readModelWeights(
      await open(`${name}/model.safetensors`),
      description,
      traceModel(description, labelCount),
    );
    expect([missing, unused]).toEqual([[], []]);
    const model: AdaptedModel = { ...description, method: everything, labelCount, trainsHead: () => true };
    const inputs = inputsOf(description, examples);

    const logits = await runInference(model, weights, inputs);
    examples.forEach((example, row) => {
      expectLogits(logits, row, example.logits);
    });

    const objective = objectiveOf(rawConfig.problem_type);
    const targets = new Float32Array(examples.length * labelCount);
    examples.forEach(({ label }, row) => {
      if (objective === crossEntropy) targets[row * labelCount + (label as number)] = 1;
      else targets.set([label].flat(), row * labelCount);
    });
    const results = await runStep(model, objective, weights, {
      ...inputs,
      targets: float32([examples.length, labelCount], targets),
      rowWeights: float32([examples.length, 1], new Float32Array(examples.length).fill(1 / examples.length)),
    });
    expect(results.loss![0]).toBeCloseTo(expectedLoss, 5);
    await expectGradients(description, results, await open(`${name}/gradients.safetensors`));
  });

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
    for (const head of heads) weights.set(head.name, await expected.read(head.name));
    const model: AdaptedModel = {
      ...description,
      method: headOnly,
      labelCount,
      head: "token",
      trainsHead: () => true,
    };
    const inputs = inputsOf(description, examples);

    const logits = await runInference(model, weights, inputs);
    const batch = examples.length;
    tokens.examples.forEach((example, row) => {
      example.logits.forEach((token, position) => {
        expectLogits(logits, position * batch + row, token);
      });
    });

    const rows = inputs.inputIds!.data.length;
    const count = tokens.examples.flatMap(({ labels }) => labels).filter((label) => label >= 0).length;
    const targets = new Float32Array(rows * labelCount);
    const rowWeights = new Float32Array(rows);
    tokens.examples.forEach(({ labels }, row) => {
      labels.forEach((label, position) => {
        if (label < 0) return;
        targets[(position * batch + row) * labelCount + label] = 1;
        rowWeights[position * batch + row] = 1 / count;
      });
    });
    const results = await runStep(model, crossEntropy, weights, {
      ...inputs,
      targets: float32([rows, labelCount], targets),
      rowWeights: float32([rows, 1], rowWeights),
    });
    expect(results.loss![0]).toBeCloseTo(tokens.loss, 5);
    for (const { name: weight } of heads) {
      expectClose(weight, results[GRADIENT + weight]!, (await expected.read(`gradients.${weight}`)).data);
    }
  });
});

function inputsOf(description: ModelDescription, examples: Fixture["examples"]): Record<string, Tensor> {
  const encodings = examples.map(({ inputIds, tokenTypeIds }) => ({
    inputIds: Int32Array.from(inputIds),
    tokenTypeIds: Int32Array.from(tokenTypeIds),
  }));
  return modelInputs(description, encodings, 0);
}

async function runInference(model: AdaptedModel, weights: Tensors, inputs: Record<string, Tensor>) {
  const compiled = await runtime.compile(writeInference(model), weights);
  const { logits } = await compiled.run(inputs);
  await compiled.release();
  return asFloat32(logits!).data;
}

async function runStep(
  model: AdaptedModel,
  objective: Objective,
  weights: Tensors,
  inputs: Record<string, Tensor>,
): Promise<Record<string, Float32Array>> {
  const compiled = await runtime.compile(writeStep(model, objective, { dropout: false }).outputs, weights);
  const results = await compiled.run(inputs);
  await compiled.release();
  return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, asFloat32(value).data]));
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

/** Every gradient of the fixture was found, and is the same. */
async function expectGradients(
  { architecture }: ModelDescription,
  results: Record<string, Float32Array>,
  expected: TensorSource,
): Promise<void> {
  for (const full of expected.tensors.keys()) {
    const names = [full, full.slice(architecture.prefix.length + 1)];
    const name = names.find((candidate) => results[GRADIENT + candidate]);
    expect(name, full).toBeDefined();
    expectClose(full, results[GRADIENT + name]!, (await expected.read(full)).data);
  }
}

/** Relative to the largest element; what is zero but for rounding (a key's bias) is compared absolutely. */
function expectClose(name: string, found: Float32Array, expected: Float32Array): void {
  const scale = Math.max(1e-4, ...expected.map(Math.abs));
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(found[i]! - expected[i]!));
  expect(found.length, name).toBe(expected.length);
  expect(worst / scale, name).toBeLessThan(1e-3);
}
