import type { BaseFormat } from "../src/architectures/base-format.ts";
import { aflora } from "../src/methods/aflora.ts";
import { scheduleFor } from "../src/methods/methods.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { AdamW } from "../src/training/optimizer/adamw.ts";
import { clippingFactor, globalNorm } from "../src/training/optimizer/gradient-norm.ts";
import { TrainingStep } from "../src/training/step.ts";
import { TrainedParameters } from "../src/training/trained-parameters.ts";
import { BareProduct } from "./bare-product.ts";
import { adapted, CONFIGS, type DecoderName, randomModel, taskOf } from "./random-model.ts";

interface LargeSetting {
  format: BaseFormat;
  /** Tokens of the one text of a step. */
  length: number;
  recompute: boolean;
  /** AFLoRA's. */
  options: Record<string, unknown>;
}

/** What is measured of each: of LLaMA-7B the setting of the paper's code. */
export const LARGE_SETTINGS = {
  "LLaMA-7B": {
    format: "int4",
    length: 256,
    recompute: false,
    // What of it are a run's options is left out where the method's are read. No dropout of the adapter is measured.
    options: { ...aflora.published!.tasks.gsm8k, adapterDropout: 0 },
  },
  "TinyLlama-1.1B": { format: "int8", length: 1024, recompute: true, options: {} },
} as const satisfies Partial<Record<DecoderName, LargeSetting>>;

/** A run's length; its first steps freeze nothing yet, which is when they take most. */
const RUN = { totalSteps: 100, stepsPerEpoch: 50 };

const SETTINGS = { learningRate: 2e-3, headLearningRate: 2e-3, weightDecay: 0.1 };

/** Two whole steps of AFLoRA, the second beside a bare matrix product, and the peak memory of both. */
export async function measureLarge(name: keyof typeof LARGE_SETTINGS): Promise<void> {
  const { format, length, recompute, options: given }: LargeSetting = LARGE_SETTINGS[name];
  const runtime = nodeRuntime();
  const say = (what: string): boolean =>
    process.stderr.write(`${what}, ${gigabytes(peakMemory())} GB at most so far\n`);
  const random = randomModel(name, format);
  say("weights are there");
  const model = adapted(random, aflora, given);
  const { objective, batchOf } = taskOf(model);
  const { weights } = model;
  const schedule = scheduleFor(aflora, aflora.options.parse(given), model.adaptation, RUN);
  const parameters = new TrainedParameters(model, schedule, weights);
  const optimizer = new AdamW(parameters.groups(SETTINGS));
  const step = await TrainingStep.compile(model, weights, runtime, {
    objective,
    tokenBudget: length,
    recompute,
    dropout: true,
    seed: 1,
  });
  const batch = batchOf(1, length);
  const wholeStep = async (t: number) => {
    const start = performance.now();
    const { gradients, flops, loss } = await step.run(t, batch);
    const computed = (performance.now() - start) / 1000;
    schedule.observe?.(t, gradients, parameters.tensors);
    optimizer.step(parameters.tensors, gradients, 1, clippingFactor(globalNorm(gradients), 1));
    const whole = (performance.now() - start) / 1000;
    return { loss, computed, whole, speed: flops / whole / 1e9 };
  };
  await wholeStep(0);
  const first = peakMemory();
  say("a first step is taken");
  const { hidden_size: hidden, intermediate_size: intermediate } = CONFIGS[name];
  const bare = await BareProduct.float32(runtime, { tokens: length, hidden, intermediate, layers: 1 });
  await bare.measure();
  const before = await bare.measure();
  const { loss, computed, whole, speed } = await wholeStep(1);
  const limit = (before + (await bare.measure())) / 2;
  await bare.release();
  await step.release();
  console.log(
    `${name}, ${format} base${recompute ? ", recompute" : ""}, AFLoRA of ${parameters.count()} parameters, 1 x ${length} tokens (${runtime.threads} threads): ` +
      `a whole step in ${whole.toFixed(1)} s, ${(whole - computed).toFixed(1)} s of them freezing and AdamW; ` +
      `${speed.toFixed(1)} GFLOP/s, bare product ${limit.toFixed(1)}, ratio ${(speed / limit).toFixed(2)}; ` +
      `peak memory ${gigabytes(first)} GB, with the product's weights ${gigabytes(peakMemory())} GB; loss ${loss.toFixed(3)}`,
  );
}

const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);
