/**
 * How near the gradients of a step with a quantised base are to float32's, on real weights and sentences: the bundled encoder
 * with AFLoRA after 100 steps on SST-2 (16 sentences each), then 20 other batches; the cosine of each parameter's gradient.
 *
 *     npm run bench:base
 */
import { fileURLToPath } from "node:url";
import { BASE_FORMATS, type BaseFormat } from "../src/architectures/base-format.ts";
import { BUNDLED_MODEL } from "../src/base-models/bundled-model.ts";
import { initialParameters, layerWeights } from "../src/base-models/fitted-adapter.ts";
import { loadBaseModel } from "../src/base-models/load-base-model-node.ts";
import { loadGlueTask } from "../src/datasets/glue-node.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { aflora } from "../src/methods/aflora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { trainingExamples } from "../src/tasks/examples.ts";
import { crossEntropy } from "../src/tasks/losses/objective.ts";
import { AdamW } from "../src/training/optimizer/adamw.ts";
import { clippingFactor, globalNorm } from "../src/training/optimizer/gradient-norm.ts";
import { type StepOutcome, TrainingStep } from "../src/training/step.ts";
import { cosine } from "../test/support/quantized.ts";
import { median } from "./random-model.ts";

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const [STEPS, BATCHES, ROWS] = [100, 20, 16];

const task = await loadGlueTask("sst2", fileURLToPath(new URL("../assets", import.meta.url)));
const runtime = nodeRuntime();
const plain = await loadBaseModel(BUNDLED_MODEL, task, 1);
const examples = trainingExamples(task, task.train, plain.tokenizer, 128);
const batch = (number: number) => examples.slice(number * ROWS, (number + 1) * ROWS);
const adaptation = aflora.adapt(aflora.options.parse({}), plain.trace.modules);
const weights = new Map([...plain.weights, ...initialParameters(adaptation, 1, layerWeights(plain))]);
const trainsHead = (name: string): boolean => /^(pooler|classifier)/.test(name);

async function compile(format: BaseFormat): Promise<TrainingStep> {
  const base = await loadBaseModel(BUNDLED_MODEL, task, 1, { format });
  return TrainingStep.compile(
    { ...base, adaptation, trainsHead },
    new Map<string, Tensor>([...weights, ...base.quantized]),
    runtime,
    { objective: crossEntropy, tokenBudget: 512, dropout: true, seed: 1 },
  );
}

async function outcomes(format: BaseFormat): Promise<StepOutcome[]> {
  const step = await compile(format);
  const found: StepOutcome[] = [];
  for (let i = STEPS; i < STEPS + BATCHES; i++) found.push(await step.run(i, batch(i)));
  await step.release();
  return found;
}

const training = await compile("float32");
let optimizer: AdamW | undefined;
for (let i = 0; i < STEPS; i++) {
  const { gradients } = await training.run(i, batch(i));
  optimizer ??= new AdamW([{ names: [...gradients.keys()], learningRate: 4e-3, weightDecay: 0.1 }]);
  optimizer.step(weights, gradients, Math.min(1, (i + 1) / 6), clippingFactor(globalNorm(gradients), 0.1));
}
await training.release();

const expected = await outcomes("float32");
for (const format of BASE_FORMATS.filter((each) => each !== "float32")) {
  const found = await outcomes(format);
  const cosines = found.flatMap(({ gradients }, i) =>
    [...expected[i]!.gradients].map(([name, gradient]) => cosine(gradients.get(name)!, gradient)),
  );
  const differences = found.map(({ loss }, i) => Math.abs(loss - expected[i]!.loss));
  console.log(
    `${format}: cosine of gradients to float32's: mean ${mean(cosines).toFixed(4)}, median ${median(cosines).toFixed(4)}; ` +
      `loss differs by ${mean(differences).toFixed(4)} on average`,
  );
}
