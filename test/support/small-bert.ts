import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { HeadName } from "../../src/architectures/architecture.ts";
import type { ModelDescription } from "../../src/architectures/families.ts";
import { describeModel } from "../../src/architectures/families.ts";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { initialParameters } from "../../src/base-models/fitted-adapter.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import type { TensorSource } from "../../src/checkpoints/tensor-source.ts";
import { asFloat32, copyOf, float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import type { Adaptation, MethodDefinition, RunLength, Schedule } from "../../src/methods/method.ts";
import { parseMethodOptions, scheduleFor } from "../../src/methods/methods.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { AdamW } from "../../src/training/optimizer/adamw.ts";
import { clippingFactor, globalNorm, scaleGradients } from "../../src/training/optimizer/gradient-norm.ts";
import { TrainingStep } from "../../src/training/step.ts";
import { type AdaptedModel, writeInference } from "../../src/training/step-graph.ts";
import { TrainedParameters } from "../../src/training/trained-parameters.ts";
import { withFewerBlocks } from "./fewer-blocks.ts";
import { runtime } from "./runtime.ts";

const fixtures = new URL("../fixtures/", import.meta.url);
/** So few tokens a micro-batch that every batch is cut: penalties must still count once. */
const stepSettings = { objective: crossEntropy, tokenBudget: 24, dropout: false, seed: 1 } as const;

export const readJson = (file: string) => JSON.parse(readFileSync(new URL(file, fixtures), "utf8"));
export const openFixture = (file: string): Promise<TensorSource> =>
  openSafetensorsFile(fileURLToPath(new URL(file, fixtures)));

export interface Row {
  inputIds: number[];
  tokenTypeIds: number[];
  label: number;
}

/** The four batches that oracle/training.py trains on, in turn. */
export const batches: Row[][] = readJson("methods/batches.json");

/** A model of a Hugging Face folder with its weights; the head is the classifier matrix and its bias. */
export interface Base extends ModelDescription {
  labelCount: number;
  weights: Tensors<"float32">;
  head?: HeadName;
}

/** A model with one of its heads; what a checkpoint has not of it is drawn. */
export async function readBase(config: unknown, source: TensorSource, head: HeadName = "sequence"): Promise<Base> {
  const description = describeModel(config);
  const labelCount = head === "languageModel" ? description.config.vocabularySize : description.config.labelCount;
  const { weights, missing } = await readModelWeights(source, description, traceModel(description, labelCount, head));
  for (const { name, shape } of missing) weights.set(name, normal(0.1)(shape as number[], randomFor(1, name)));
  return { ...description, labelCount, weights, head };
}

/** The small BERT of oracle/models.py. @param blocks how many of its two blocks it has */
export const smallBert = async (blocks: 1 | 2 = 2): Promise<Base> =>
  readBase(
    withFewerBlocks(readJson("models/bert-1/config.json"), blocks),
    await openFixture("models/bert-1/model.safetensors"),
  );

export const layersOf = (base: Base): readonly LinearModule[] => traceModel(base, base.labelCount, base.head).modules;

/** As long as the runs of the fixtures. */
const RUN: RunLength = { totalSteps: 20, stepsPerEpoch: 5 };

export interface StepOptions {
  learningRate?: number;
  headLearningRate?: number;
  weightDecay?: number;
  learningRateFactor?: (step: number) => number;
  maxGradNorm?: number;
}

/** A method beside a model, with weights of its own: what the training loop does, on batches of the caller's choice. */
export class Bench {
  readonly model: AdaptedModel;
  readonly #schedule: Schedule;
  readonly weights: Map<string, Tensor<"float32">>;
  #compiled: { key: string; step: TrainingStep } | undefined;
  #optimizer: AdamW | undefined;
  #step = 0;

  constructor(
    base: Base,
    adaptation: Adaptation,
    { trainsPooler = false, schedule = { trainable: () => adaptation.trainable } as Schedule } = {},
  ) {
    this.#schedule = schedule;
    const trainsHead = (name: string) => trainsPooler || name.startsWith("classifier.");
    this.model = { ...base, adaptation, trainsHead };
    const copies = [...base.weights].map(([name, values]) => [name, copyOf(values)] as const);
    this.weights = new Map(adaptation.trainsBackbone ? copies : base.weights);
    for (const [name, values] of copies) if (trainsHead(name)) this.weights.set(name, values);
    const weightOf = (module: string) => base.weights.get(`${module}.weight`)!;
    for (const [name, values] of initialParameters(adaptation, 1, weightOf)) this.weights.set(name, values);
  }

  static create(base: Base, definition: MethodDefinition, given: Record<string, unknown> = {}): Bench {
    const options = parseMethodOptions(definition, given);
    const adaptation = definition.adapt(options, layersOf(base));
    return new Bench(base, adaptation, { schedule: scheduleFor(definition, options, adaptation, RUN) });
  }

  /** Takes the parameters that a fixture has under `<moment>.`; one that this bench lacks is an error. */
  async load(tensors: TensorSource, moment: string): Promise<void> {
    for (const name of tensors.tensors.keys()) {
      if (!name.startsWith(`${moment}.`)) continue;
      const own = this.weights.get(name.slice(moment.length + 1));
      if (!own) throw new Error(`no parameter for ${name}`);
      own.data.set((await tensors.read(name)).data);
    }
  }

  async logits(rows: readonly Row[]): Promise<Float32Array> {
    const { outputs, streams } = writeInference(this.model);
    const graph = await runtime.compile(outputs, this.weights);
    const examples = rows.map((row, index) => ({ index, encoding: encodingOf(row) }));
    const { logits } = await graph.run(layOut(streams, examples).inputs);
    await graph.release();
    return asFloat32(logits!).data;
  }

  /** Loss and gradients of one batch, dropout off, in micro-batches. Compiled again when what trains changes. */
  async differentiate(rows: readonly Row[]): Promise<{ loss: number; gradients: Map<string, Tensor<"float32">> }> {
    const trainable = this.#schedule.trainable();
    const key = [...trainable].join();
    if (this.#compiled?.key !== key) {
      await this.release();
      this.#compiled = {
        key,
        step: await TrainingStep.compile({ ...this.model, trainable }, this.weights, runtime, stepSettings),
      };
    }
    const examples = rows.map((row, index) => {
      const targets = float32([1, this.model.labelCount]);
      targets.data[row.label] = 1;
      return { index, encoding: encodingOf(row), targets, weights: Float32Array.of(1) };
    });
    return this.#compiled.step.run(this.#step, examples);
  }

  /** One optimizer step; gives the loss before it and the gradient's norm before clipping. */
  async step(rows: readonly Row[], options: StepOptions = {}): Promise<{ loss: number; gradientNorm: number }> {
    const { loss, gradients } = await this.differentiate(rows);
    this.#optimizer ??= this.#makeOptimizer(options);
    this.#schedule.observe?.(this.#step, gradients, this.weights);
    const gradientNorm = globalNorm(gradients);
    scaleGradients(gradients, clippingFactor(gradientNorm, options.maxGradNorm ?? Number.POSITIVE_INFINITY));
    this.#optimizer.step(this.weights, gradients, options.learningRateFactor?.(this.#step) ?? 1);
    this.#schedule.afterStep?.(this.#step, gradients, this.weights);
    this.#step++;
    return { loss, gradientNorm };
  }

  async release(): Promise<void> {
    await this.#compiled?.step.release();
    this.#compiled = undefined;
  }

  /** With the groups of training itself. */
  #makeOptimizer({ learningRate = 1e-2, headLearningRate = learningRate, weightDecay = 0.01 }: StepOptions): AdamW {
    const parameters = new TrainedParameters(this.model, this.#schedule, this.weights);
    return new AdamW(parameters.groups({ learningRate, headLearningRate, weightDecay }));
  }
}

const encodingOf = ({ inputIds, tokenTypeIds }: Row) => ({
  inputIds: Int32Array.from(inputIds),
  tokenTypeIds: Int32Array.from(tokenTypeIds),
});

type Values = Pick<Tensor<"float32">, "data">;

/** Largest difference over the largest element of `expected`; of zeros, 0 or infinity. */
export function relativeError({ data: found }: Values, { data: expected }: Values): number {
  let scale = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    worst = Math.max(worst, Math.abs(found[i]! - expected[i]!));
  }
  return worst === 0 ? 0 : worst / scale;
}
