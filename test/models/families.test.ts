import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/checkpoints/safetensors.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import type { Method } from "../../src/methods/method.ts";
import { describeModel, MODEL_TYPES } from "../../src/models/families.ts";
import { readModelWeights } from "../../src/models/model-weights.ts";
import { traceModel } from "../../src/models/trace.ts";
import { nodeRuntime } from "../../src/runtime/runtime-node.ts";
import type { InputTensor } from "../../src/runtime/session.ts";
import { modelInputs } from "../../src/training/model-inputs.ts";
import { GRADIENT, writeInference, writeStep } from "../../src/training/step-graph.ts";

const folder = new URL("../fixtures/models/", import.meta.url);
const runtime = nodeRuntime({ threads: 1 });

interface Fixture {
  examples: { inputIds: number[]; tokenTypeIds: number[]; label: number | number[]; logits: number[] }[];
  loss: number;
}

/** Trains every weight of the model: only so are all gradients looked at. */
const everything: Method = { parameters: [], trainsBackbone: true, trainable: () => new Set() };

const supported = readdirSync(folder).filter((name) => {
  const config = new URL(`${name}/config.json`, folder);
  return existsSync(config) && MODEL_TYPES.includes(JSON.parse(readFileSync(config, "utf8")).model_type);
});

describe("families against transformers and autograd (oracle/models.py)", () => {
  test.each(supported)("%s", async (name) => {
    const read = (file: string) => JSON.parse(readFileSync(new URL(`${name}/${file}`, folder), "utf8"));
    const open = (file: string): Promise<TensorSource> => openSafetensors(new URL(`${name}/${file}`, folder).pathname);
    const rawConfig = read("config.json");
    const { examples, loss: expectedLoss } = read("inputs.json") as Fixture;
    const description = describeModel(rawConfig);
    const labelCount = description.config.labelCount;
    const weights = readModelWeights(
      await open("model.safetensors"),
      description,
      traceModel(description, labelCount),
    ).weights;
    const model = { ...description, method: everything, labelCount, trainsHead: () => true };
    const inputs: Record<string, InputTensor> = modelInputs(
      description,
      examples.map(({ inputIds, tokenTypeIds }) => ({
        inputIds: Int32Array.from(inputIds),
        tokenTypeIds: Int32Array.from(tokenTypeIds),
      })),
      0,
    );

    const inference = await runtime.compile(writeInference(model), weights);
    const { logits } = await inference.run(inputs);
    await inference.release();
    examples.forEach((example, row) => {
      example.logits.forEach((expected, label) => {
        expect(Math.abs(logits![row * labelCount + label]! - expected)).toBeLessThan(1e-4);
      });
    });

    const regression = rawConfig.problem_type === "regression";
    const targets = new Float32Array(examples.length * labelCount);
    examples.forEach(({ label }, row) => {
      if (regression) targets[row] = label as number;
      else targets[row * labelCount + (label as number)] = 1;
    });
    const step = writeStep(model, regression ? "squared-error" : "cross-entropy", { dropout: false });
    const compiled = await runtime.compile(step.outputs, weights);
    const results = await compiled.run({
      ...inputs,
      targets: { data: targets, shape: [examples.length, labelCount] },
      rowWeights: { data: new Float32Array(examples.length).fill(1 / examples.length), shape: [examples.length, 1] },
    });
    await compiled.release();
    expect(results.loss![0]).toBeCloseTo(expectedLoss, 5);

    const gradients = await open("gradients.safetensors");
    const found = Object.keys(results).filter((key) => key.startsWith(GRADIENT));
    const missing = new Set(gradients.tensors.keys());
    for (const key of found) {
      const weight = key.slice(GRADIENT.length);
      const full = [`${description.architecture.prefix}.${weight}`, weight].find((k) => gradients.tensors.has(k));
      if (!full) continue;
      missing.delete(full);
      expectClose(weight, results[key]!, gradients.read(full));
    }
    expect([...missing]).toEqual([]);
  });
});

/** Relative to the largest element; what is zero but for rounding (a key's bias) is compared absolutely. */
function expectClose(name: string, found: Float32Array, expected: Float32Array): void {
  const scale = Math.max(1e-4, ...expected.map(Math.abs));
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(found[i]! - expected[i]!));
  expect(found.length, name).toBe(expected.length);
  expect(worst / scale, name).toBeLessThan(1e-3);
}
