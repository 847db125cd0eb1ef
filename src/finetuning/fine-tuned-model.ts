import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Method } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example, TaskKind } from "../tasks/example.ts";
import { entitiesOf, type Prediction } from "../tasks/metrics.ts";
import { locateWords, splitWords } from "../tasks/words.ts";
import type { Encoding, WordEncoding } from "../tokenization/tokenizer.ts";
import { Predictor } from "../training/predictor.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { encodeExample, firstTokens, predictionFor } from "../training/training-example.ts";
import type { Adapter, AdapterDescription } from "./adapter.ts";
import type { BaseModel } from "./base-model.ts";

/** A text to predict for, the two texts of a pair, or an example; its words, where it has none, are split as the text says. */
export type PredictionInput =
  | string
  | readonly [text: string, textPair: string]
  | Pick<Example, "text" | "textPair" | "words">;

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
  /** Token classification: every word. */
  words?: WordPrediction[];
  /** Token classification: words that are one thing, such as a name. */
  entities?: EntityPrediction[];
}

/** A stretch of a text: `[start, end)` in UTF-16 units, as JavaScript counts. */
export interface Span {
  start: number;
  end: number;
}

export interface WordPrediction extends Span {
  word: string;
  /** The likeliest, and how likely; absent where the text was cut before the word. */
  label?: string;
  probability?: number;
}

export interface EntityPrediction extends Span {
  /** `PER` of the labels `B-PER` and `I-PER`. */
  type: string;
  text: string;
  /** Mean of its words'. */
  probability: number;
}

/** A base model with an adapter, ready to predict. */
export class FineTunedModel {
  readonly description: AdapterDescription;
  readonly base: BaseModel;
  /** What the adapter has in place of the base model's: the method's parameters, the head, a trained backbone. */
  readonly parameters: Tensors<"float32">;
  readonly #predictor: Predictor;

  /**
   * Callers outside of the package use {@link adapt}.
   * @internal
   * @param adapter one that `fitAdapter` gave, which `predictor` computes
   */
  constructor(base: BaseModel, { description, parameters }: FittedAdapter, predictor: Predictor) {
    this.description = description;
    this.base = base;
    this.parameters = parameters;
    this.#predictor = predictor;
  }

  /**
   * Puts an adapter on a base model in memory. The model's weights are not copied.
   * @throws UserError where they do not fit.
   */
  static async adapt<Model extends FineTunedModel>(
    this: new (
      base: BaseModel,
      adapter: FittedAdapter,
      predictor: Predictor,
    ) => Model,
    base: BaseModel,
    adapter: Adapter,
    runtime: Runtime,
  ): Promise<Model> {
    const fitted = fitAdapter(base, adapter);
    // Node's class, which also loads from folders, inherits this.
    return new this(base, fitted, await compilePredictor(base, fitted, runtime));
  }

  /** Predicts for each input, in order. */
  async predict(inputs: readonly PredictionInput[]): Promise<TextPrediction[]> {
    const { task } = this.description;
    const examples = inputs.map((input, index) => exampleOf(input, index, task.kind));
    const encodings = examples.map((example) => this.#encode(example));
    const logits = await this.#predictor.logits(encodings, this.parameters);
    return logits.map((values, i) =>
      task.kind === "token-classification"
        ? describeWords(task.labels, examples[i]!, encodings[i] as WordEncoding, values)
        : describePrediction(task, values),
    );
  }

  /** What the model says of each example, written as the example's own label is. */
  async predictLabels(examples: readonly Example[]): Promise<Prediction[]> {
    const encodings = examples.map((example) => this.#encode(example));
    const logits = await this.#predictor.logits(encodings, this.parameters);
    return logits.map((values, i) => predictionFor(this.description.task, examples[i]!, encodings[i]!, values));
  }

  /** Logits of each example, `[labels]`, or `[tokens, labels]` of token classification. */
  logits(examples: readonly Example[]): Promise<Float32Array[]> {
    return this.#predictor.logits(
      examples.map((example) => this.#encode(example)),
      this.parameters,
    );
  }

  #encode(example: Example): Encoding {
    const { task, maxLength } = this.description;
    return encodeExample(task.kind, example, this.base.tokenizer, maxLength);
  }

  release(): Promise<void> {
    return this.#predictor.release();
  }
}

/** An adapter that fits a base model, with everything that it can stand for. */
export interface FittedAdapter extends Adapter {
  method: Method;
}

/**
 * The method at work on a base model with an adapter's parameters; parts of the head that the adapter leaves to the base
 * model are among them.
 * @throws UserError where the adapter does not fit the base model.
 */
export function fitAdapter(base: BaseModel, { description, parameters }: Adapter): FittedAdapter {
  const definition = findMethod(description.method);
  const options = parseMethodOptions(definition, description.methodOptions);
  // Nothing is scheduled here: there are as many steps as any schedule in steps, epochs or shares could ask for.
  const method = definition.create(options, { sites: base.trace.sites, totalSteps: 2 ** 40, stepsPerEpoch: 1 });
  const own = new Set(method.parameters.map(({ name }) => name));
  const fitted = new Map<string, Tensor<"float32">>();
  for (const [name, shape] of adaptedShapes(base, method)) {
    const values = parameters.get(name) ?? (own.has(name) ? undefined : base.weights.get(name));
    if (values?.shape.join() !== shape.join()) {
      throw new UserError(
        `the adapter does not fit base model ${base.name}: "${name}" should be [${shape.join(", ")}] but is ${values ? `[${values.shape.join(", ")}]` : "missing"}`,
      );
    }
    fitted.set(name, values);
  }
  return { description, parameters: fitted, method };
}

/** Compiles a base model with an adapter's method; the arrays of adapters of the same kind can be fed in turn. */
export function compilePredictor(
  base: BaseModel,
  { method, parameters }: FittedAdapter,
  runtime: Runtime,
): Promise<Predictor> {
  const model: AdaptedModel = { ...base, method, trainsHead: () => true };
  return Predictor.compile(model, new Map([...base.weights, ...parameters]), runtime, base.tokenizer.padTokenId);
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
export function initialParameters(method: Method, seed: number): Tensors<"float32"> {
  return new Map(
    method.parameters.map(({ name, shape, initialize }) => [name, initialize(shape, randomFor(seed, name))]),
  );
}

function exampleOf(input: PredictionInput, index: number, kind: TaskKind): Example {
  const given =
    typeof input === "string" ? { text: input } : "text" in input ? input : { text: input[0], textPair: input[1] };
  if (kind !== "token-classification") return { index, ...given };
  if (given.textPair !== undefined) throw new UserError("token classification takes single texts, not pairs");
  return { index, ...given, words: given.words ?? splitWords(given.text) };
}

function describeWords(
  labels: readonly string[],
  { text, words }: Example,
  encoding: WordEncoding,
  logits: Float32Array,
): TextPrediction {
  const predicted = locateWords(text, words!).map((span, i): WordPrediction => ({ word: words![i]!, ...span }));
  for (const [word, token] of firstTokens(encoding)) {
    const probabilities = softmax(logits.subarray(token * labels.length, (token + 1) * labels.length));
    const probability = Math.max(...probabilities);
    Object.assign(predicted[word]!, { label: labels[probabilities.indexOf(probability)], probability });
  }
  const entities = entitiesOf(predicted.map(({ label }) => label ?? "O")).map(({ type, start, end }) => {
    const own = predicted.slice(start, end);
    const span = { start: own[0]!.start, end: own.at(-1)!.end };
    const probability = own.reduce((sum, word) => sum + word.probability!, 0) / own.length;
    return { type, text: text.slice(span.start, span.end), ...span, probability };
  });
  return { words: predicted, entities };
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
