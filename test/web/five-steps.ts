import type { ModelFiles } from "../../src/checkpoints/model-files.ts";
import { readBaseModel } from "../../src/finetuning/base-model.ts";
import { copyOf, type Tensor } from "../../src/graph/tensor.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { trainingExamples } from "../../src/tasks/examples.ts";
import { crossEntropy } from "../../src/tasks/objective.ts";
import { AdamW } from "../../src/training/adamw.ts";
import { clipGradients } from "../../src/training/gradient-norm.ts";
import { TrainingStep } from "../../src/training/step.ts";

const STEPS = 5;
const BATCH = 8;
const SEED = 42;
const TASK: Pick<TaskData, "kind" | "labels"> = { kind: "classification", labels: ["negative", "positive"] };

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
 * @param tsv the data, in SST-2's columns
 */
export async function fiveSteps(runtime: Runtime, files: ModelFiles, tsv: string): Promise<FiveSteps> {
  const base = await readBaseModel(files, TASK, SEED);
  const { trace, tokenizer } = base;
  const weights = new Map(base.weights);
  const adaptation = aflora.adapt(aflora.options.parse({}), trace.sites);
  for (const { name, shape, initialize } of adaptation.parameters) {
    // At b = 0 nothing but b has a gradient.
    const draw = name.endsWith(".b") ? normal(0.1) : initialize;
    weights.set(name, draw(shape, randomFor(SEED, name)));
  }

  const rows = tsv
    .trim()
    .split("\n")
    .slice(1, 1 + STEPS * BATCH);
  const examples = rows.map((row, index) => {
    const [sentence, label] = row.split("\t");
    return { index, text: sentence!, label: Number(label) };
  });
  const encoded = trainingExamples(TASK, examples, tokenizer, 128);

  const model = { ...base, adaptation, trainsHead: (name: string) => name.startsWith(`${trace.classifier}.`) };
  const settings = { objective: crossEntropy, tokenBudget: 256, dropout: true, seed: SEED } as const;
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
