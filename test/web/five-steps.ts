import { bytesSource } from "../../src/checkpoints/byte-source.ts";
import { openSafetensors } from "../../src/checkpoints/safetensors.ts";
import { copyOf, type Tensor } from "../../src/graph/tensor.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { constant, normal, randomFor } from "../../src/methods/initializers.ts";
import { describeModel } from "../../src/models/families.ts";
import { readModelWeights } from "../../src/models/model-weights.ts";
import { traceModel } from "../../src/models/trace.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import { createTokenizer } from "../../src/tokenization/tokenizer-json.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { clipGradients } from "../../src/training/gradient-norm.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { trainingExamples } from "../../src/training/training-example.ts";

const STEPS = 5;
const BATCH = 8;
const SEED = 42;
const LABELS = ["negative", "positive"];

export interface FiveSteps {
  /** Of each step, before it. */
  losses: number[];
  /** Of the first step, by parameter, before clipping. */
  gradients: Record<string, Tensor<"float32">>;
  /** Real tokens per second, the first step left out. */
  tokensPerSecond: number;
}

/**
 * Trains five steps of AFLoRA, dropout on, on a text classification: the same code in Node and in a page.
 * @param read gives a file's bytes: one of a model folder, or `data.tsv` (SST-2's columns)
 */
export async function fiveSteps(runtime: Runtime, read: (file: string) => Promise<ArrayBuffer>): Promise<FiveSteps> {
  const text = async (file: string) => new TextDecoder().decode(await read(file));
  const json = async (file: string): Promise<unknown> => JSON.parse(await text(file));

  const description = describeModel(await json("config.json"));
  const trace = traceModel(description, LABELS.length);
  const source = await openSafetensors(bytesSource("the model", new Uint8Array(await read("model.safetensors"))));
  const { weights, missing } = await readModelWeights(source, description, trace);
  for (const { name, shape } of missing) {
    const initialize = shape.length > 1 ? normal(0.02) : constant(0);
    weights.set(name, initialize(shape as number[], randomFor(SEED, name)));
  }
  const setting = { sites: trace.sites, totalSteps: STEPS, stepsPerEpoch: STEPS };
  const method = aflora.create(aflora.options.parse({}), setting);
  for (const { name, shape, initialize } of method.parameters) {
    // At b = 0 nothing but b has a gradient.
    const draw = name.endsWith(".b") ? normal(0.1) : initialize;
    weights.set(name, draw(shape, randomFor(SEED, name)));
  }

  const tokenizer = createTokenizer(await json("tokenizer.json"), await json("tokenizer_config.json"), "the model");
  const rows = (await text("data.tsv"))
    .trim()
    .split("\n")
    .slice(1, 1 + STEPS * BATCH);
  const examples = rows.map((row, index) => {
    const [sentence, label] = row.split("\t");
    return { index, text: sentence!, label: Number(label) };
  });
  const encoded = trainingExamples({ kind: "classification", labels: LABELS }, examples, tokenizer, 128);

  const model = {
    ...description,
    method,
    labelCount: LABELS.length,
    trainsHead: (name: string) => /^classifier/.test(name),
  };
  const { padTokenId } = tokenizer;
  const settings = { objective: "cross-entropy", tokenBudget: 256, dropout: true, seed: SEED, padTokenId } as const;
  const step = await TrainingStep.compile(model, weights, runtime, settings);
  let optimizer: AdamW | undefined;
  const losses: number[] = [];
  let first: Record<string, Tensor<"float32">> = {};
  let [tokens, milliseconds] = [0, 0];
  for (let i = 0; i < STEPS; i++) {
    const start = performance.now();
    const outcome = await step.run(i, encoded.slice(i * BATCH, (i + 1) * BATCH));
    if (i > 0) {
      tokens += outcome.tokens;
      milliseconds += performance.now() - start;
    }
    losses.push(outcome.loss);
    if (i === 0) first = Object.fromEntries([...outcome.gradients].map(([name, gradient]) => [name, copyOf(gradient)]));
    optimizer ??= new AdamW([{ names: [...outcome.gradients.keys()], learningRate: 4e-3, weightDecay: 0.01 }]);
    clipGradients(outcome.gradients, 1);
    optimizer.step(weights, outcome.gradients, 1);
  }
  await step.release();
  return { losses, gradients: first, tokensPerSecond: tokens / (milliseconds / 1000) };
}
