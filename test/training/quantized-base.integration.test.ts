import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { HeadName } from "../../src/architectures/architecture.ts";
import type { BaseFormat } from "../../src/architectures/base-format.ts";
import { describeModel } from "../../src/architectures/families.ts";
import { loadAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { BUNDLED_MODEL } from "../../src/base-models/bundled-model.ts";
import { fitAdapter } from "../../src/base-models/fitted-adapter.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import { loadGlueTask } from "../../src/datasets/glue-node.ts";
import { copyOf, float32, int32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import type { MethodDefinition } from "../../src/methods/method.ts";
import { findMethod, METHODS, parseMethodOptions } from "../../src/methods/methods.ts";
import { trainingExamples } from "../../src/tasks/examples.ts";
import { crossEntropy, indexCrossEntropy, type Objective, squaredError } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { type StepOutcome, TrainingStep } from "../../src/training/step.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";
import { withFewerBlocks } from "../support/fewer-blocks.ts";
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
  const adaptation = method.adapt(parseMethodOptions(method, smallRank(method)), layersOf(base));
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

/** The fixtures' layers are narrower than the default rank of some methods. */
const smallRank = ({ options }: MethodDefinition) => ("rank" in options.shape ? { rank: 4 } : {});

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

/** Two steps of the bundled encoder with a trained adapter, on real sentences: with a base in some format, and in float32. */
async function openBundled() {
  const adapter = await loadAdapter(fileURLToPath(new URL("../fixtures/minilm/sst2-adapter", import.meta.url)));
  const assets = fileURLToPath(new URL("../../assets", import.meta.url));
  const task = { ...(await loadGlueTask("sst2", assets)), labels: adapter.description.task.labels };
  const base = await loadBaseModel(BUNDLED_MODEL, task, 1);
  const { adaptation, parameters } = fitAdapter(base, adapter);
  const examples = trainingExamples(task, task.train.slice(0, 8), base.tokenizer, 128);
  const outcomesWith = async (format: BaseFormat): Promise<StepOutcome[]> => {
    const quantized = quantizedOf(base, base.weights, format);
    const weights = new Map<string, Tensor>([...base.weights, ...quantized, ...parameters]);
    const trainsHead = (name: string) => name.startsWith("classifier");
    const model = { ...base, adaptation, format, trainsHead };
    const step = await TrainingStep.compile(model, weights, runtime, { ...settings, objective: crossEntropy });
    const outcomes: StepOutcome[] = [];
    for (const batch of [0, 1]) {
      const { gradients, ...outcome } = await step.run(batch, examples.slice(batch * 4, (batch + 1) * 4));
      outcomes.push({ ...outcome, gradients: new Map([...gradients].map(([name, each]) => [name, copyOf(each)])) });
    }
    await step.release();
    return outcomes;
  };
  return { outcomesWith, float32: await outcomesWith("float32") };
}
let bundled: ReturnType<typeof openBundled> | undefined;

const withoutFull = METHODS.names.filter((name) => name !== "full");

describe.each(FORMATS)("a step with an $format base", ({ format, reference, least, leastReal }) => {
  const models = new URL("../fixtures/models/", import.meta.url);
  const folders = readdirSync(models).filter((name) => existsSync(new URL(`${name}/config.json`, models)));
  // In 8 bits each architecture; all reach frozen weights through one op, so in 4 bits one of each kind, with other heads.
  const isTried = (name: string): boolean =>
    format === "int8" ? name.endsWith("-2") : ["bart-1", "llama-1", "modernbert-1"].includes(name);
  // Blocks are alike, apart from the first two of ModernBERT.
  const configOf = (name: string) =>
    withFewerBlocks(readJson(`models/${name}/config.json`), name.startsWith("modernbert") ? 2 : 1);
  const tried = folders.filter(isTried).map((name) => ({ name, ...describeModel(configOf(name)) }));
  const byArchitecture = new Map(tried.map(({ name, architecture }) => [architecture, name]));
  const cases = [...byArchitecture].map(([{ heads }, name]): [string, HeadName] => {
    const own = (["sequence", "languageModel"] as const).filter((head) => heads[head]);
    return [name, own.at(name.endsWith("-1") ? 0 : -1)!];
  });

  test.each(cases)(
    "of %s with its %s head has the gradients of float32, except for rounding errors",
    async (name, head) => {
      const weights = await openFixture(`models/${name}/model.safetensors`);
      const base = await readBase(configOf(name), weights, head);
      const expected = await stepWith(reference(base), "float32", "aflora");
      const found = await stepWith(base, format, "aflora");
      // If rounding moves a ReLU's input past 0, its gradient jumps, and 48 features are few to average over.
      const jumps = format === "int8" && "activation" in base.config && base.config.activation === "relu";
      expect(agreement(found, expected)).toBeGreaterThan(jumps ? 0.95 : least);
      expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(0.05);
      expect(found.flops).toBe(expected.flops);
    },
  );

  test.each(format === "int8" ? withoutFull : ["aflora"])("with %s", async (method) => {
    const base = await smallBert(1);
    const expected = await stepWith(reference(base), "float32", method);
    const found = await stepWith(base, format, method);
    expect(agreement(found, expected)).toBeGreaterThan(least);
  });

  test("of the bundled encoder with a trained adapter, on real sentences", async () => {
    bundled ??= openBundled();
    const { outcomesWith, float32 } = await bundled;
    const found = await outcomesWith(format);
    const means = found.map((each, batch) => agreement(each, float32[batch]!));
    expect(means.reduce((sum, mean) => sum + mean, 0) / means.length).toBeGreaterThan(leastReal);
  });
});
