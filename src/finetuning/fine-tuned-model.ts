import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Adaptation } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example, Prediction } from "../tasks/example.ts";
import { type RerankedText, reranker } from "../tasks/reranker.ts";
import type { TaskKind, TextInput } from "../tasks/task-kind.ts";
import { findTaskKind, type TextPrediction } from "../tasks/task-kinds.ts";
import type { TaskPredictions } from "../tasks/task-predictions.ts";
import { unitVector } from "../tasks/vectors.ts";
import { type PredictedExample, Predictor } from "../training/predictor.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import type { Adapter, AdapterDescription } from "./adapter.ts";
import type { BaseModel } from "./base-model.ts";

/** A text to predict for, the two texts of a pair, or an example; its words, where it has none, are split as the text says. */
export type PredictionInput = string | readonly [text: string, textPair: string] | TextInput;

/** A base model with an adapter, ready to predict. `Shown` is what it says of a text, where its kind of task is known. */
export class FineTunedModel<Shown extends object = TextPrediction> {
  readonly description: AdapterDescription;
  readonly kind: TaskKind<Shown>;
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
    const kind: TaskKind = findTaskKind(description.task.kind);
    this.kind = kind as TaskKind<Shown>;
    this.base = base;
    this.parameters = parameters;
    this.#predictor = predictor;
  }

  /**
   * Puts an adapter on a base model in memory. The model's weights are not copied.
   * @throws UserError where they do not fit.
   */
  static async adapt(base: BaseModel, adapter: Adapter, runtime: Runtime): Promise<FineTunedModel> {
    const fitted = fitAdapter(base, adapter);
    // Node's class, which also loads from folders, inherits this.
    return new this(base, fitted, await compilePredictor(base, fitted, runtime));
  }

  /**
   * The same model, typed as one of this kind of task.
   * @throws UserError where it is of another.
   */
  ofKind<Name extends keyof TaskPredictions>(name: Name): FineTunedModel<TaskPredictions[Name]> {
    if (this.kind.name !== name) {
      throw new UserError(`the model is for ${this.kind.name}, not for ${name}; ask for what it was trained for`);
    }
    return this as FineTunedModel<TaskPredictions[Name]>;
  }

  /**
   * Predicts for each input, in order; an empty text is a text like any other.
   * @throws UserError where an input is none, or the model was released.
   */
  predict(inputs: readonly PredictionInput[]): Promise<Shown[]>;
  /** Predicts for one text. */
  predict(input: string | TextInput): Promise<Shown>;
  async predict(given: readonly PredictionInput[] | string | TextInput): Promise<Shown[] | Shown> {
    const inputs = isList(given) ? given : [given];
    const examples = inputs.map((input, index) => ({ index, ...this.kind.exampleOfInput(textsOf(input)) }));
    const encoded = this.#encode(examples);
    const logits = await this.#predictor.logits(encoded, this.parameters);
    const shown = logits.map((values, i) => this.kind.describe(this.#labels, examples[i]!, encoded[i]!, values));
    return isList(given) ? shown : shown[0]!;
  }

  /**
   * The vectors of texts, in order: `[hidden]`, or cut to `dimensions` and at length 1 again.
   * @throws UserError where the model does not embed, a text is none, or there are fewer dimensions.
   */
  async embed(texts: readonly string[], { dimensions }: { dimensions?: number } = {}): Promise<Float32Array[]> {
    if (this.kind.head !== "pooled") {
      throw new UserError(`the model is for ${this.kind.name} and embeds no texts; ask for what it was trained for`);
    }
    const size = this.base.labelCount;
    if (dimensions !== undefined && !(Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= size)) {
      throw new UserError(`an embedding of this model has ${size} dimensions, which cannot be cut to ${dimensions}`);
    }
    const examples = texts.map((text, index) => ({ index, ...this.kind.exampleOfInput(textsOf(text)) }));
    const vectors = await this.logits(examples);
    return dimensions === undefined ? vectors : vectors.map((vector) => unitVector(vector, dimensions));
  }

  /**
   * Passages by how well they answer a query, the best first; `index` is a passage's place among those given.
   * @throws UserError where the model is no reranker.
   */
  async rerank(query: string, passages: readonly string[]): Promise<(RerankedText & { index: number })[]> {
    const { name } = reranker;
    if (this.kind.name !== name)
      throw new UserError(`the model is for ${this.kind.name}, not a ${name}; train one first`);
    const pairs = passages.map((passage) => [query, passage] as const);
    const found = await (this as FineTunedModel as FineTunedModel<RerankedText>).predict(pairs);
    return found.map((shown, index) => ({ index, ...shown })).sort((a, b) => b.logit - a.logit);
  }

  /** What the model says of each example, written as the example's own label is. */
  async predictLabels(examples: readonly Example[]): Promise<Prediction[]> {
    const encoded = this.#encode(examples);
    const logits = await this.#predictor.logits(encoded, this.parameters);
    return logits.map((values, i) => this.kind.predict(this.#labels, examples[i]!, encoded[i]!, values));
  }

  /**
   * Logits of each example, `[rows, outputs]`: one row, or one for each word that was read. Of a kind that reads outputs within
   * the graph what it reads, `[rows, width]`.
   */
  logits(examples: readonly Example[]): Promise<Float32Array[]> {
    return this.#predictor.logits(this.#encode(examples), this.parameters);
  }

  get #labels(): readonly string[] {
    return this.description.task.labels;
  }

  #encode(examples: readonly Example[]): PredictedExample[] {
    const { tokenizer } = this.base;
    const { maxLength, lossOn } = this.description;
    return examples.map((example) => {
      const encoded = this.kind.encode(example, tokenizer, maxLength, lossOn);
      return this.kind.readout ? { ...encoded, ...this.kind.targets(example, encoded, this.#labels) } : encoded;
    });
  }

  /** Frees what was compiled; a process must not exit before. Nothing can be predicted afterwards. */
  release(): Promise<void> {
    return this.#predictor.release();
  }
}

/** An adapter that fits a base model, with everything that it can stand for. */
export interface FittedAdapter extends Adapter {
  adaptation: Adaptation;
}

/**
 * A base model as an adapter adapts it, with the adapter's parameters; parts of the head that the adapter leaves to the base
 * model are among them.
 * @throws UserError where the adapter does not fit the base model.
 */
export function fitAdapter(base: BaseModel, { description, parameters }: Adapter): FittedAdapter {
  const definition = findMethod(description.method);
  const options = parseMethodOptions(definition, description.methodOptions);
  const adaptation = definition.adapt(options, base.trace.sites);
  const own = new Set(adaptation.parameters.map(({ name }) => name));
  const fitted = new Map<string, Tensor<"float32">>();
  for (const [name, shape] of adaptedShapes(base, adaptation)) {
    const values = parameters.get(name) ?? (own.has(name) ? undefined : base.weights.get(name));
    if (values?.shape.join() !== shape.join()) {
      throw new UserError(
        `the adapter does not fit base model ${base.name}: "${name}" should be [${shape.join(", ")}] but is ${values ? `[${values.shape.join(", ")}]` : "missing"}`,
      );
    }
    fitted.set(name, values);
  }
  return { description, parameters: fitted, adaptation };
}

/** Compiles a base model with an adapter's method; the arrays of adapters of the same kind can be fed in turn. */
export function compilePredictor(
  base: BaseModel,
  { description, adaptation, parameters }: FittedAdapter,
  runtime: Runtime,
): Promise<Predictor> {
  const model: AdaptedModel = { ...base, adaptation, trainsHead: () => true };
  return Predictor.compile(model, new Map([...base.weights, ...base.quantized, ...parameters]), runtime, {
    readBy: findTaskKind(description.task.kind),
  });
}

/** Shape of everything that an adapter may hold: the method's parameters, the head, and where it trains the backbone. */
export function adaptedShapes(base: BaseModel, adaptation: Adaptation): Map<string, readonly number[]> {
  const own = [...base.trace.weights.values()].filter(({ part }) => part === "head" || adaptation.trainsBackbone);
  return new Map([
    ...adaptation.parameters.map(({ name, shape }) => [name, shape] as const),
    ...own.map(({ name, shape }) => [name, shape as number[]] as const),
  ]);
}

/** First values of a method's parameters, each from a random stream of its own. */
export function initialParameters({ parameters }: Adaptation, seed: number): Tensors<"float32"> {
  return new Map(parameters.map(({ name, shape, initialize }) => [name, initialize(shape, randomFor(seed, name))]));
}

const isList = (given: readonly PredictionInput[] | string | TextInput): given is readonly PredictionInput[] =>
  Array.isArray(given);

/** @throws UserError where JavaScript's caller gave something else. */
function textsOf(input: PredictionInput): TextInput {
  const texts =
    typeof input === "string" ? { text: input } : isPair(input) ? { text: input[0], textPair: input[1] } : input;
  if (typeof texts?.text === "string" && ["string", "undefined"].includes(typeof texts.textPair)) return texts;
  throw new UserError(
    `predict takes a text, a list of texts, of pairs [text, textPair] or of { text, textPair }, not ${JSON.stringify(input)}`,
  );
}

const isPair = (input: PredictionInput): input is readonly [string, string] => Array.isArray(input);
