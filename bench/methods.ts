/**
 * What a training step of each method costs on a random encoder, dropout on, optimizer included: all methods take a step in
 * turn, round after round, so that what else the machine does falls on all of them. One variant has a single adapted layer,
 * in the first block: its step is the limit of every method that adapts the first block. Peak memory is that of a process
 * for each method alone.
 *
 *     npm run bench:methods -- [MODEL [BASE [ROWSxLENGTH [THREADS]]]]
 */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { BASE_FORMATS } from "../src/architectures/base-format.ts";
import type { Tensors } from "../src/graph/tensor.ts";
import { aflora } from "../src/methods/aflora.ts";
import type { FreezingState } from "../src/methods/freezing/controller.ts";
import { full } from "../src/methods/full.ts";
import { lora } from "../src/methods/lora.ts";
import type { Adaptation, MethodDefinition, Schedule } from "../src/methods/method.ts";
import { scheduleFor } from "../src/methods/methods.ts";
import { vera } from "../src/methods/vera.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { crossEntropy } from "../src/tasks/losses/objective.ts";
import { AdamW } from "../src/training/optimizer/adamw.ts";
import { clippingFactor, globalNorm, scaleGradients } from "../src/training/optimizer/gradient-norm.ts";
import { TrainingStep } from "../src/training/step.ts";
import { TrainedParameters } from "../src/training/trained-parameters.ts";
import { oneOf, shapeOf } from "./arguments.ts";
import { adapted, batchOf, ENCODER_NAMES, median, type RandomModel, randomModel } from "./random-model.ts";

const measured = process.argv.slice(2).filter((argument) => !argument.startsWith("--memory"));
const [name = "bert-base", format = "float32", size = "8x64", threads = String(availableParallelism())] = measured;
const MODEL = oneOf("model", name, ENCODER_NAMES);
const BASE = oneOf("base", format, BASE_FORMATS);
const [ROWS, LENGTH] = shapeOf(size);
const runtime = nodeRuntime({ threads: Number(threads) });
const ROUNDS = 17;
const WARM_UP = 2;

interface Variant {
  name: string;
  definition: MethodDefinition;
  options?: Record<string, unknown>;
  /** Which of AFLoRA's matrices under the schedule are frozen, by their number. */
  frozen?: (matrix: number) => boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: "AFLoRA r=4, nothing frozen", definition: aflora, options: { rank: 4 }, frozen: () => false },
  // A and B of every other feed-forward layer.
  { name: "AFLoRA r=4, half frozen", definition: aflora, options: { rank: 4 }, frozen: (matrix) => matrix % 4 < 2 },
  { name: "AFLoRA r=4, all frozen", definition: aflora, options: { rank: 4 }, frozen: () => true },
  { name: "LoRA r=8", definition: lora, options: { rank: 8 } },
  { name: "VeRA r=1024, shared by shape", definition: vera, options: { rank: 1024, sharing: "shape" } },
  { name: "VeRA r=1024, cut to size", definition: vera, options: { rank: 1024, sharing: "sliced" } },
  { name: "VeRA r=1024, not shared", definition: vera, options: { rank: 1024, sharing: "layer" } },
  { name: "one adapted layer: the limit", definition: lora, options: { rank: 8, targetModules: firstLayer() } },
  // It trains the base itself, which only float32 allows.
  ...(BASE === "float32" ? [{ name: "full fine-tuning", definition: full }] : []),
];

/** The value projection of the first block, through which the backward pass reaches the bottom of the model. */
function firstLayer(): string[] {
  return [MODEL === "deberta-v3-base" ? "layer.0.attention.self.value_proj" : "layer.0.attention.self.value"];
}

/** One method's training step, ready to be taken. */
class MethodStep {
  readonly #step: TrainingStep;
  readonly #gradients: (number: number) => Promise<Tensors<"float32">>;
  readonly #update: (number: number, gradients: Tensors<"float32">) => void;

  private constructor(
    step: TrainingStep,
    gradients: (number: number) => Promise<Tensors<"float32">>,
    update: (number: number, gradients: Tensors<"float32">) => void,
  ) {
    this.#step = step;
    this.#gradients = gradients;
    this.#update = update;
  }

  static async prepare(base: RandomModel, { definition, options = {}, frozen }: Variant): Promise<MethodStep> {
    const model = adapted(base, definition, options);
    const { adaptation } = model;
    // So long that the schedule does nothing while measuring.
    const run = { totalSteps: 1000, stepsPerEpoch: 100 };
    const parsed = definition.options.parse(options);
    const state = frozen && partlyFrozen(scheduleFor(definition, parsed, adaptation, run), adaptation, frozen);
    const schedule = scheduleFor(definition, parsed, adaptation, run, state);
    const { names, tensors } = new TrainedParameters(model, schedule, model.weights);
    const step = await TrainingStep.compile({ ...model, trainable: schedule.trainable() }, model.weights, runtime, {
      objective: crossEntropy,
      tokenBudget: ROWS * LENGTH,
      dropout: true,
      seed: 1,
    });
    // So small a rate that nothing moves: the methods share the base model's weights.
    const optimizer = new AdamW([{ names, learningRate: 1e-12, weightDecay: 0 }]);
    const batch = batchOf(ROWS, LENGTH);
    const gradients = async (number: number): Promise<Tensors<"float32">> => (await step.run(number, batch)).gradients;
    return new MethodStep(step, gradients, (number, gradients) => {
      schedule.observe?.(number, gradients, tensors);
      const clipping = clippingFactor(globalNorm(gradients), 0.1);
      optimizer.step(tensors, gradients, 1, clipping);
      if (!schedule.afterStep) return;
      scaleGradients(gradients, clipping);
      schedule.afterStep(number, gradients, tensors);
    });
  }

  /** Seconds of one step, and of what of it comes after the graph: norm, clipping, AdamW and the method's own. */
  async take(number: number): Promise<{ all: number; update: number }> {
    const start = performance.now();
    const gradients = await this.#gradients(number);
    const computed = performance.now();
    this.#update(number, gradients);
    const end = performance.now();
    return { all: (end - start) / 1000, update: (end - computed) / 1000 };
  }

  release(): Promise<void> {
    return this.#step.release();
  }
}

/** The state of AFLoRA's schedule once these matrices have frozen. */
function partlyFrozen(start: Schedule, { freezable }: Adaptation, frozen: (matrix: number) => boolean): FreezingState {
  const state = start.state!() as FreezingState;
  freezable!.forEach((name, matrix) => {
    if (frozen(matrix)) state.scalars.frozenAtStep[name] = 0;
  });
  return state;
}

/** Peak memory of a process that does nothing but steps of one method, MB. */
function peakMemory(variant: number): number {
  const own = [fileURLToPath(import.meta.url), ...measured, `--memory=${variant}`];
  const program = [...process.execArgv, ...own];
  const { stdout, status } = spawnSync(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  if (status !== 0) throw new Error(`measuring the memory of ${VARIANTS[variant]!.name} failed`);
  return Number(stdout);
}

async function printMemory(variant: Variant): Promise<void> {
  const step = await MethodStep.prepare(randomModel(MODEL, BASE), variant);
  for (let number = 0; number < 3; number++) await step.take(number);
  await step.release();
  process.stdout.write(String(process.resourceUsage().maxRSS / 1e3));
}

async function main(): Promise<void> {
  // First, while this process is small: a child's peak begins at its parent's.
  const memory = VARIANTS.map((_, variant) => peakMemory(variant));
  const base = randomModel(MODEL, BASE);
  const steps: MethodStep[] = [];
  for (const variant of VARIANTS) steps.push(await MethodStep.prepare(base, variant));
  const rounds: number[][] = [];
  const updates: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [seconds, update]: number[][] = [[], []];
    for (let turn = 0; turn < steps.length; turn++) {
      // Each round begins with another method: none always follows the one that leaves the caches coldest.
      const variant = (round + turn) % steps.length;
      const taken = await steps[variant]!.take(round);
      seconds![variant] = taken.all;
      update![variant] = taken.update;
    }
    if (round < WARM_UP) continue;
    rounds.push(seconds!);
    updates.push(update!);
  }
  for (const step of steps) await step.release();

  const ratio = (a: number, b: number): number => median(rounds.map((seconds) => seconds[a]! / seconds[b]!));
  const [seconds, update] = [rounds, updates].map((of) =>
    VARIANTS.map((_, variant) => median(of.map((round) => round[variant]!))),
  ) as [number[], number[]];
  const [nothing, half, all, ofLora, limit] = [0, 1, 2, 3, 7];
  const ofVera = [4, 5, 6].toSorted((a, b) => seconds[a]! - seconds[b]!)[0]!;
  console.log(
    `${MODEL}, --base ${BASE}, ${ROWS} x ${LENGTH} tokens, ${runtime.threads} threads, medians of ${rounds.length} rounds\n`,
  );
  VARIANTS.forEach(({ name }, variant) => {
    console.log(
      `${name.padEnd(30)}${seconds[variant]!.toFixed(3).padStart(8)} s a step ${ratio(variant, nothing).toFixed(2).padStart(6)} × AFLoRA's, ` +
        `${update[variant]!.toFixed(3)} s of it after the graph, ${Math.round(memory[variant]!)} MB`,
    );
  });
  const versus = (what: string, a: number, b: number): void =>
    console.log(
      `${what}: ${ratio(a, b).toFixed(3)} × the time, ${(memory[a]! / memory[b]!).toFixed(3)} × the peak memory`,
    );
  console.log("");
  console.log(`fastest form of VeRA: ${VARIANTS[ofVera]!.name}`);
  versus("VeRA over AFLoRA, nothing frozen", ofVera, nothing);
  versus("VeRA over AFLoRA, all frozen", ofVera, all);
  for (const [stage, variant] of Object.entries({ nothing, half, all })) {
    versus(`AFLoRA, ${stage} frozen, over LoRA`, variant, ofLora);
  }
  versus("the limit over LoRA", limit, ofLora);
  versus("AFLoRA half frozen over nothing frozen", half, nothing);
  versus("AFLoRA all frozen over half frozen", all, half);
}

const alone = process.argv.find((argument) => argument.startsWith("--memory="));
if (alone) await printMemory(VARIANTS[Number(alone.split("=")[1])]!);
else await main();
