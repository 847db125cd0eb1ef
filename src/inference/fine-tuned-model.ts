import { readsSource } from "../architectures/architecture-kinds.ts";
import type { Adapter, AdapterDescription } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { fitToPredict } from "../base-models/fitted-adapter.ts";
import { readMedia } from "../base-models/read-media.ts";
import { UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import { Turns } from "../runtime/turns.ts";
import type { TaskPredictions, TextPrediction } from "../tasks/built-in-kinds.ts";
import type { Example, Prediction } from "../tasks/example.ts";
import { type List, mapped } from "../tasks/list.ts";
import { inTemplate, type Prompt, promptIds, promptOf, sourceText } from "../tasks/prompt.ts";
import type { RerankedText } from "../tasks/scored-pairs.ts";
import type { TaskKind, TextInput } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { unitVector } from "../tasks/vectors.ts";
import { type Novelty, noveltyOf } from "../training/novelty/novelty.ts";
import type { PredictedExample } from "../training/prediction/predictor.ts";
import { readerOf } from "../training/step-graph.ts";
import { CompiledModel, type ComputeOptions } from "./compiled-model.ts";
import { choosesClass, thresholdOf, unsureBelow } from "./confidence-threshold.ts";
import { SharedWriter } from "./generation/shared-writer.ts";
import { NONE, noveltyLimit } from "./none-of-these.ts";
import { encodingOf, isList, type PredictionInput, type TextOrTokens, textsOf } from "./prediction-input.ts";
import {
  type Answer,
  type AnswerEnd,
  type AnswerOptions,
  type AnswerPiece,
  type AnswerSource,
  type AnswersOptions,
  PARALLEL_ANSWERS,
  writeAnswer,
  writeAnswers,
  writePieces,
} from "./write-answers.ts";

export type { ComputeOptions } from "./compiled-model.ts";

/** A base model with an adapter, ready to predict. `Output` is the type of a prediction, if the kind of task is known. */
export class FineTunedModel<Output extends object = TextPrediction> {
  readonly description: AdapterDescription;
  readonly kind: TaskKind<Output>;
  readonly base: BaseModel;
  /** Parameters that the adapter adds or replaces: the method's, the head's, those of a trained backbone. */
  readonly parameters: Tensors<"float32">;
  readonly #compiled: CompiledModel;
  readonly #novelty: Novelty | undefined;
  #shared: SharedWriter | undefined;
  #threshold: number | undefined;
  #noveltyLimit: number | undefined;

  /**
   * Callers outside of the package use {@link adapt}.
   * @internal
   * @param adapter from `fitToPredict`, for which `compiled` was compiled
   */
  constructor(base: BaseModel, { description, parameters, novelty }: Adapter, compiled: CompiledModel) {
    this.description = description;
    this.#novelty = novelty;
    const kind: TaskKind = findTaskKind(description.task.kind);
    this.kind = kind as TaskKind<Output>;
    this.base = base;
    this.parameters = parameters;
    this.#compiled = compiled;
  }

  /**
   * Combines an adapter with a base model in memory. The model's weights are not copied.
   * @throws UserError if they do not fit, or both lack a weight of the head.
   */
  static async adapt(base: BaseModel, adapter: Adapter, runtime: Runtime): Promise<FineTunedModel> {
    const fitted = fitToPredict(base, adapter);
    return new FineTunedModel(
      base,
      fitted,
      await CompiledModel.compile(base, fitted, runtime, { constantAdapter: true }),
    );
  }

  /**
   * Returns the same model, typed for this kind of task.
   * @throws UserError if it is of another kind.
   */
  ofKind<Name extends keyof TaskPredictions>(name: Name): FineTunedModel<TaskPredictions[Name]> {
    if (this.kind.name !== name) {
      throw new UserError(`the model is for ${this.kind.name}, not for ${name}; ask for what it was trained for`);
    }
    return this as FineTunedModel<TaskPredictions[Name]>;
  }

  /**
   * Predicts for each input, in order. An empty text is a valid input.
   * @throws UserError if an input is malformed, or the model was released.
   */
  predict(inputs: readonly PredictionInput[], options?: ComputeOptions): Promise<Output[]>;
  /** Predicts for one text. */
  predict(input: string | TextInput, options?: ComputeOptions): Promise<Output>;
  async predict(
    given: readonly PredictionInput[] | string | TextInput,
    options?: ComputeOptions,
  ): Promise<Output[] | Output> {
    const answers: Output[] = [];
    for await (const answer of this.predictEach(isList(given) ? given : [given], options)) answers.push(answer);
    return isList(given) ? answers : answers[0]!;
  }

  /**
   * Predicts for each input in turn, in order, so that memory need not hold the predictions for all of them: with thousands of labels, each
   * prediction is large.
   *
   *     for await (const { label } of model.predictEach(texts)) console.log(label);
   *
   * @throws UserError like {@link predict}.
   */
  async *predictEach(inputs: List<PredictionInput>, options?: ComputeOptions): AsyncGenerator<Output, void> {
    const examples = mapped(inputs, (input, index) => this.#exampleOf(input, index));
    const limit = this.#noveltyLimit;
    const part = limit === undefined ? "predictor" : "featured";
    for await (const { example, encoded, row } of this.#outputs(part, examples, options)) {
      const values = limit === undefined ? row : row.subarray(0, this.#labels.length);
      const shown = this.kind.describe(this.#labels, example, encoded, values, this.description.task.options);
      const sure = this.#threshold === undefined ? shown : unsureBelow(shown, this.#threshold);
      const novelty = limit === undefined ? undefined : noveltyOf(this.#novelty!, row, this.#labels.length);
      const answer: Output =
        novelty === undefined ? sure : { ...sure, novelty, ...(novelty > limit! && { label: NONE }) };
      yield answer;
    }
  }

  /**
   * From now on, predicts `none of these` for a text that is unlike those of all classes, and adds `novelty` to every prediction.
   * @param share of the texts of known classes that may get this label, estimated on the run's validation examples: `0.05`
   * @returns novelty above which a text gets it
   * @throws UserError if the model does not choose one class, or had too few validation examples.
   */
  allowNoneOfThese(share: number): number {
    this.#refuseUnlessChoosing();
    this.#noveltyLimit = noveltyLimit(share, { description: this.description, novelty: this.#novelty });
    return this.#noveltyLimit;
  }

  /**
   * From now on, predicts `unsure` for a text whose likeliest class is below a threshold.
   * @param threshold a probability such as `0.8`, or `auto:precision=0.95`: the lowest one for which that share of the run's validation
   * predictions was right
   * @returns the probability
   * @throws UserError if it is neither, the model does not choose one class, or no threshold has this precision.
   */
  requireConfidence(threshold: string): number {
    this.#refuseUnlessChoosing();
    this.#threshold = thresholdOf(threshold, this.description);
    return this.#threshold;
  }

  #refuseUnlessChoosing(): void {
    if (choosesClass(this.kind)) return;
    throw new UserError(
      `the model is for ${this.kind.name} and does not choose a class, so it cannot answer unsure or none of these`,
    );
  }

  /** Whether the model embeds texts, see {@link embed}. */
  get embeds(): boolean {
    return this.kind.retrieval?.by === "vectors";
  }

  /**
   * Embeds texts, or pictures by their paths, in order: `[hidden]`, or truncated to `dimensions` and normalized again.
   * @throws UserError if the model does not embed, a text or a token id is invalid, there are too many ids, or it has fewer dimensions
   */
  async embed(
    texts: readonly TextOrTokens[],
    { dimensions, signal, onDone }: ComputeOptions & { dimensions?: number | undefined } = {},
  ): Promise<Float32Array[]> {
    if (!this.embeds)
      throw new UserError(`the model is for ${this.kind.name} and does not embed; ask for what it was trained for`);
    const size = this.base.labelCount;
    if (dimensions !== undefined && !(Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= size)) {
      throw new UserError(`an embedding of this model has ${size} dimensions, which cannot be cut to ${dimensions}`);
    }
    const { maxLength } = this.description;
    const { vocabularySize } = this.base.config;
    const given = texts.map((text, index) =>
      typeof text === "string"
        ? this.#exampleOf(text, index)
        : { index, encoding: encodingOf(text, { vocabularySize, maxLength }) },
    );
    const read = (
      await this.#read(
        given.filter((each) => "text" in each),
        signal,
      )
    ).values();
    const encoded = given.map((each) => ("text" in each ? read.next().value! : each));
    const vectors = await this.#compiled.outputs("predictor", encoded, this.parameters, signal, onDone);
    return dimensions === undefined ? vectors : vectors.map((vector) => unitVector(vector, dimensions));
  }

  /** Token ids of a text, including special tokens, truncated to the length that the model reads. */
  tokenIds(text: string): number[] {
    return Array.from(this.#encode(this.#exampleOf(text, 0)).encoding.inputIds);
  }

  /** Whether the model reranks passages, see {@link rerank}. */
  get reranks(): boolean {
    return this.kind.retrieval?.by === "scores";
  }

  /**
   * Sorts passages by their relevance for a query, best first; `index` is a passage's position in `passages`.
   * @throws UserError if the model is not a reranker.
   */
  async rerank(
    query: string,
    passages: readonly string[],
    options: ComputeOptions = {},
  ): Promise<(RerankedText & { index: number })[]> {
    if (!this.reranks) throw new UserError(`the model is for ${this.kind.name}, not a reranker; train one first`);
    const pairs = passages.map((passage) => [query, passage] as const);
    const found = await (this as FineTunedModel as FineTunedModel<RerankedText>).predict(pairs, options);
    return found.map((shown, index) => ({ index, ...shown })).sort((a, b) => b.logit - a.logit);
  }

  /** Predicts for each example, in the form of the example's label. */
  async predictLabels(examples: readonly Example[], options?: ComputeOptions): Promise<Prediction[]> {
    const found: Prediction[] = [];
    for await (const { example, encoded, row } of this.#outputs("predictor", examples, options, true)) {
      found.push(this.kind.predict(this.#labels, example, encoded, row, this.description.task.options));
    }
    return found;
  }

  /** @param compares whether targets have the base model's values if the loss compares with them */
  #outputs(part: "predictor" | "featured", examples: List<Example>, options: ComputeOptions = {}, compares = false) {
    const encode = async (some: readonly Example[]): Promise<PredictedExample[]> => {
      const read = await this.#read(some, options.signal);
      return compares ? this.#compiled.withReference(read, options.signal) : read;
    };
    const width = this.kind.readout?.width ?? this.base.labelCount;
    return this.#compiled.outputsInTurn(part, examples, encode, this.parameters, { ...options, width });
  }

  /**
   * Logits of each example, `[rows, outputs]`: one row, or one for each word that was read. For a kind that reads outputs within
   * the graph, the values that it reads, `[rows, width]`.
   */
  async logits(examples: readonly Example[]): Promise<Float32Array[]> {
    return this.#compiled.outputs("predictor", await this.#read(examples), this.parameters);
  }

  /** Whether the model generates text, see {@link answer}. */
  get writes(): boolean {
    return this.kind.writing !== undefined;
  }

  /**
   * Generates an answer, piece by piece.
   *
   *     for await (const piece of model.answer("What is new?")) process.stdout.write(piece);
   *
   * @returns pieces of its text as they are generated, and how it ended
   * @throws UserError if the model does not generate, an option is malformed, or the prompt cannot be read or is too long.
   */
  async *answer(prompt: Prompt, options: AnswerOptions = {}): AsyncGenerator<string, AnswerEnd> {
    return yield* writeAnswer(await this.#answerSource(), this.#promptIds(prompt), options);
  }

  /**
   * Generates `copies` answers to one prompt in parallel, piece by piece, as the server sends them.
   * @internal
   * @throws UserError like {@link answer}.
   */
  async *pieces(prompt: Prompt, options: AnswersOptions = {}): AsyncGenerator<AnswerPiece, void> {
    yield* writePieces(await this.#answerSource(), this.#promptIds(prompt), options);
  }

  /**
   * Generates an answer to each prompt, in order, or `copies` to each; several are generated at once.
   * @param onAnswer receives each answer once it is complete
   * @throws UserError like {@link answer}.
   */
  async answers(
    prompts: readonly Prompt[],
    options: AnswersOptions = {},
    onAnswer?: (answer: Answer, index: number) => void,
  ): Promise<Answer[]> {
    const source = await this.#answerSource();
    const ids = await new Turns(options.signal).map(prompts, (prompt) => this.#promptIds(prompt));
    return writeAnswers(source, ids, options, onAnswer);
  }

  async #answerSource(): Promise<AnswerSource> {
    if (!this.writes) {
      throw new UserError(`the model is for ${this.kind.name} and does not write answers; ask it with predict`);
    }
    const { tokenizer, config } = this.base;
    const decoderStart = this.#readsSources ? tokenizer.specialTokens.decoderStart?.id : undefined;
    const { maxLength } = config;
    const writer = await this.#compiled.writer();
    if (!this.#readsSources) this.#shared ??= new SharedWriter(writer.decoder, this.parameters, PARALLEL_ANSWERS);
    return { ...writer, adapter: this.parameters, shared: this.#shared, tokenizer, maxLength, decoderStart };
  }

  /** Whether the prompt is a text for an encoder. */
  get #readsSources(): boolean {
    return readsSource(this.base);
  }

  /** Prompt of an example for this model, including the tools of a conversation. */
  promptOf(example: Pick<Example, "text" | "context" | "textPair" | "messages" | "tools">): Prompt {
    return this.#readsSources ? example.text : promptOf(example, this.base.tokenizer, this.description.task.options);
  }

  /** Token ids of a prompt; for an encoder-decoder the encoder's text as in training, with the task's prefix, and truncated. */
  #promptIds(prompt: Prompt): number[] {
    const { options } = this.description.task;
    if (!this.#readsSources) return promptIds(inTemplate(prompt, options), this.base.tokenizer);
    const encoded = this.#encode({ index: 0, text: sourceText(prompt) });
    return [...encoded!.encoding.inputIds];
  }

  get #labels(): readonly string[] {
    return this.description.task.labels;
  }

  #exampleOf(input: PredictionInput, index: number): Example {
    return { index, ...this.kind.exampleOfInput(textsOf(input)) };
  }

  async #read(examples: readonly Example[], signal?: AbortSignal): Promise<PredictedExample[]> {
    const whole = await readMedia(this.kind, examples, this.base, { signal });
    return new Turns(signal).map(whole, (example) => this.#encode(example));
  }

  #encode(example: Example): PredictedExample {
    const { maxLength, task } = this.description;
    const encoded = this.kind.encode(example, this.base.tokenizer, maxLength, task.options);
    return readerOf(this.kind) ? { ...encoded, ...this.kind.targets(example, encoded, this.#labels) } : encoded;
  }

  /** Frees the compiled model; a process must not exit before. It cannot predict afterwards. */
  async release(): Promise<void> {
    await this.#compiled.release();
  }
}
