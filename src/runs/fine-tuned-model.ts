import { access } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Method } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import { Predictor } from "../training/predictor.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { labelCountFor } from "../training/training-example.ts";
import { type Adapter, type AdapterDescription, loadAdapter } from "./adapter.ts";
import { type BaseModel, loadBaseModel } from "./base-model.ts";

/** A text to predict for, or the two texts of a pair. */
export type PredictionInput = string | readonly [text: string, textPair: string];

export interface LabelProbability {
  label: string;
  probability: number;
}

/** What a model says of one text. */
export interface TextPrediction {
  /** Classification: the likeliest label. */
  label?: string;
  /** Classification and multi-label: every label, likeliest first. */
  labels?: LabelProbability[];
  /** Regression. */
  value?: number;
}

/** A base model with an adapter, ready to predict. */
export class FineTunedModel {
  readonly description: AdapterDescription;
  readonly base: BaseModel;
  readonly predictor: Predictor;

  private constructor(description: AdapterDescription, base: BaseModel, predictor: Predictor) {
    this.description = description;
    this.base = base;
    this.predictor = predictor;
  }

  /**
   * Loads the adapter of a run folder, or an adapter folder, and its base model.
   * @throws UserError where either is missing or damaged, or they do not fit.
   */
  static async load(directory: string, runtime: Runtime): Promise<FineTunedModel> {
    const adapter = await loadAdapter(await adapterFolder(directory));
    const base = await loadBaseModel(adapter.description.model, labelCountFor(adapter.description.task), 0);
    return FineTunedModel.adapt(base, adapter, runtime);
  }

  /**
   * Puts an adapter on a base model in memory. The model's weights are not copied.
   * @throws UserError where they do not fit.
   */
  static async adapt(base: BaseModel, { description, parameters }: Adapter, runtime: Runtime): Promise<FineTunedModel> {
    const definition = findMethod(description.method);
    const options = parseMethodOptions(definition, description.methodOptions);
    const method = definition.create(options, { sites: base.trace.sites, totalSteps: 1, stepsPerEpoch: 1 });
    const weights = new Map(base.weights);
    for (const [name, shape] of adaptedShapes(base, method)) {
      const values = parameters.get(name);
      if (values?.length === shape.reduce((size, d) => size * d, 1)) weights.set(name, values);
      else if (values || method.parameters.some((parameter) => parameter.name === name)) {
        throw new UserError(
          `the adapter does not fit base model ${base.name}: "${name}" should be [${shape.join(", ")}] but has ${values?.length ?? "no"} values`,
        );
      }
    }
    const model: AdaptedModel = { ...base, method, trainsHead: () => false };
    const predictor = await Predictor.compile(model, weights, runtime, base.tokenizer.padTokenId);
    return new FineTunedModel(description, base, predictor);
  }

  /** Predicts for each input, in order. */
  async predict(inputs: readonly PredictionInput[]): Promise<TextPrediction[]> {
    const examples = inputs.map((input, index): Example => {
      return typeof input === "string" ? { index, text: input } : { index, text: input[0], textPair: input[1] };
    });
    const logits = await this.logits(examples);
    return logits.map((row) => describePrediction(this.description.task, row));
  }

  /** Logits of each example, `[labels]`. */
  logits(examples: readonly Example[]): Promise<Float32Array[]> {
    const { tokenizer } = this.base;
    return this.predictor.logits(
      examples.map(({ text, textPair }) => tokenizer.encode(text, textPair, this.description.maxLength)),
    );
  }

  release(): Promise<void> {
    return this.predictor.release();
  }
}

/** Shape of everything that an adapter may hold: the method's parameters, the head, and where it trains the backbone. */
export function adaptedShapes(base: BaseModel, method: Method): Map<string, readonly number[]> {
  const own = [...base.trace.weights.values()].filter(({ part }) => part === "head" || method.trainsBackbone);
  return new Map([
    ...method.parameters.map(({ name, shape }) => [name, shape] as const),
    ...own.map(({ name, shape }) => [name, shape as number[]] as const),
  ]);
}

/** First values of a method's parameters, each from a random stream of its own. */
export function initialParameters(method: Method, seed: number): Map<string, Float32Array> {
  return new Map(
    method.parameters.map(({ name, shape, initialize }) => [name, initialize(shape, randomFor(seed, name))]),
  );
}

function describePrediction({ kind, labels }: AdapterDescription["task"], logits: Float32Array): TextPrediction {
  if (kind === "regression") return { value: logits[0]! };
  const probabilities = kind === "multi-label" ? logits.map((z) => 1 / (1 + Math.exp(-z))) : softmax(logits);
  const ranked = labels
    .map((label, i) => ({ label, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability);
  return kind === "multi-label" ? { labels: ranked } : { label: ranked[0]!.label, labels: ranked };
}

function softmax(logits: Float32Array): Float32Array {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** The adapter folder of a run, or the folder itself where it is one. */
async function adapterFolder(directory: string): Promise<string> {
  const inRun = join(directory, "adapter");
  return access(join(inRun, "adapter.json")).then(
    () => inRun,
    () => directory,
  );
}
