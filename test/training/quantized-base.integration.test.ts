import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadGlueTask } from "../../src/datasets/glue-node.ts";
import { float32, int32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { findMethod, METHODS, parseMethodOptions } from "../../src/methods/methods.ts";
import { loadAdapter } from "../../src/model/adapter-folder-node.ts";
import { BUNDLED_MODEL } from "../../src/model/bundled-model.ts";
import { fitAdapter } from "../../src/model/fitted-adapter.ts";
import { loadBaseModel } from "../../src/model/load-base-model-node.ts";
import type { HeadName } from "../../src/models/architecture.ts";
import type { BaseFormat } from "../../src/models/base-format.ts";
import { describeModel } from "../../src/models/families.ts";
import { trainingExamples } from "../../src/tasks/examples.ts";
import { crossEntropy, indexCrossEntropy, type Objective, squaredError } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { type StepOutcome, TrainingStep } from "../../src/training/step.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { cosine, dequantizedOf, quantizedOf } from "../support/quantized.ts";
import { runtime } from "../support/runtime.ts";
import { type Base, layersOf, openFixture, readBase, readJson, smallBert } from "../support/small-bert.ts";
import { examplesOf } from "./small-run.ts";

interface Expectation {
  format: Exclude<BaseFormat, "float32">;
  /** Float32 weights to compare a step with, and the smallest allowed mean cosine of the parameters' gradients. */
  reference(base: Base): Base;
  least: number;
  /** The same for real weights and sentences, compared with the original weights. */
  leastReal: number;
}

const FORMATS: readonly Expectation[] = [
  { format: "int8", reference: (base) => base, least: 0.99, leastReal: 0.99 },
  {
    format: "int4",
    // The rounded weights are multiplied in float32. Models as narrow as the fixtures' are most affected by rounding.
    reference: (base) => ({ ...base, weights: dequantizedOf(base, base.weights) }),
    least: 0.999999,
    leastReal: 0.88,
  },
];

/** One step, with dropout, with a base in some format; all parameters differ from zero. */
async function stepWith(base: Base, format: BaseFormat, methodName: string): Promise<StepOutcome> {
  const method = findMethod(methodName);
  const adaptation = method.adapt(parseMethodOptions(method, {}), layersOf(base));
  const weights = new Map<string, Tensor>([...base.weights, ...quantizedOf(base, base.weights, format)]);
  // Quantized layers have no float32 weights: a graph that read them would not compile.
  if (format !== "float32") for (const { name } of layersOf(base)) weights.delete(`${name}.weight`);
  for (const { name, shape } of adaptation.parameters) weights.set(name, normal(0.1)(shape, randomFor(3, name)));
  const model: AdaptedModel = { ...base, adaptation, format, trainsHead: (name) => name.startsWith("classifier") };
  const objective = objectiveOf(base);
  const step = await TrainingStep.compile(model, weights, runtime, { ...settings, objective });
  try {
    return await step.run(0, batchFor(base));
  } finally {
    await step.release();
  }
}

function objectiveOf({ labelCount, head }: Base): Objective {
  if (head === "languageModel") return indexCrossEntropy;
  return labelCount === 1 ? squaredError : crossEntropy;
}

/**
 * Examples of ids and labels that the model has; of a language model, two tokens of each text that say the next one, which an
 * encoder-decoder is given as the text that its decoder reads, too.
 */
function batchFor({ labelCount, head, architecture }: Base): TrainingExample[] {
  return examplesOf(24).map(({ encoding, ...example }) => {
    const inputIds = encoding.inputIds.map((id) => id % 80);
    const own = { ...example, encoding: { ...encoding, inputIds } };
    if (head === "languageModel") {
      const targets = int32([2], inputIds.slice(2, 4));
      const decoder = architecture.kind === "encoder-decoder" && { decoder: own.encoding };
      return { ...own, ...decoder, rows: Int32Array.of(1, 2), targets, weights: Float32Array.of(1, 1) };
    }
    const targets = float32([1, labelCount]);
    targets.data[example.index % labelCount] = 1;
    return { ...own, targets };
  });
}

/** Mean cosine of the parameters' gradients. */
function agreement(found: StepOutcome, expected: StepOutcome): number {
  expect([...found.gradients.keys()]).toEqual([...expected.gradients.keys()]);
  const cosines = [...expected.gradients].map(([name, gradient]) => cosine(found.gradients.get(name)!, gradient));
  return cosines.reduce((sum, each) => sum + each, 0) / cosines.length;
}

const settings = { tokenBudget: 512, dropout: true, seed: 1 };

const withoutFull = METHODS.names.filter((name) => name !== "full");

describe.each(FORMATS)("a step with an $format base", ({ format, reference, least, leastReal }) => {
  const models = new URL("../fixtures/models/", import.meta.url);
  const folders = readdirSync(models).filter((name) => existsSync(new URL(`${name}/config.json`, models)));
  // One configuration of each family per format, with different heads.
  const cases = folders
    .filter((name) => name.endsWith(format === "int8" ? "-2" : "-1"))
    .map((name): [string, HeadName] => {
      const { heads } = describeModel(readJson(`models/${name}/config.json`)).architecture;
      const own = (["sequence", "languageModel"] as const).filter((head) => heads[head]);
      return [name, own.at(name.endsWith("-1") ? 0 : -1)!];
    });

  test.each(cases)(
    "of %s with its %s head has the gradients of float32, except for rounding errors",
    async (name, head) => {
      const weights = await openFixture(`models/${name}/model.safetensors`);
      const base = await readBase(readJson(`models/${name}/config.json`), weights, head);
      const expected = await stepWith(reference(base), "float32", "aflora");
      const found = await stepWith(base, format, "aflora");
      // If rounding moves a ReLU's input past 0, its gradient jumps, and 48 features are few to average over.
      const jumps = format === "int8" && "activation" in base.config && base.config.activation === "relu";
      expect(agreement(found, expected)).toBeGreaterThan(jumps ? 0.95 : least);
      expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(0.05);
      expect(found.flops).toBe(expected.flops);
    },
  );

  test.each(withoutFull)("with %s", async (method) => {
    const base = await smallBert();
    const expected = await stepWith(reference(base), "float32", method);
    const found = await stepWith(base, format, method);
    expect(agreement(found, expected)).toBeGreaterThan(least);
  });

  test("of the bundled encoder with a trained adapter, on real sentences", async () => {
    const adapter = await loadAdapter(fileURLToPath(new URL("../fixtures/minilm/sst2-adapter", import.meta.url)));
    const { task: kept } = adapter.description;
    const assets = fileURLToPath(new URL("../../assets", import.meta.url));
    const task = { ...(await loadGlueTask("sst2", assets)), labels: kept.labels };
    const base = await loadBaseModel(BUNDLED_MODEL, task, 1);
    const { adaptation, parameters } = fitAdapter(base, adapter);
    const examples = trainingExamples(task, task.train.slice(0, 32), base.tokenizer, 128);
    const compile = (stored: BaseFormat): Promise<TrainingStep> => {
      const quantized = quantizedOf(base, base.weights, stored);
      const weights = new Map<string, Tensor>([...base.weights, ...quantized, ...parameters]);
      const model = {
        ...base,
        adaptation,
        format: stored,
        trainsHead: (name: string) => name.startsWith("classifier"),
      };
      return TrainingStep.compile(model, weights, runtime, { ...settings, objective: crossEntropy });
    };
    const steps = [await compile("float32"), await compile(format)] as const;
    const means: number[] = [];
    for (let batch = 0; batch < 4; batch++) {
      const rows = examples.slice(batch * 8, (batch + 1) * 8);
      const [expected, found] = [await steps[0].run(batch, rows), await steps[1].run(batch, rows)];
      means.push(agreement(found, expected));
    }
    for (const step of steps) await step.release();
    expect(means.reduce((sum, mean) => sum + mean, 0) / means.length).toBeGreaterThan(leastReal);
  });
});
