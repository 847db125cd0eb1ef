import type { Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { type PredictedExample, Predictor } from "../training/predictor.ts";
import { referredTo } from "../training/reference.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import type { BaseModel } from "./base-model.ts";
import { type FittedAdapter, untrainedParameters } from "./fitted-adapter.ts";
import { CachedDecoder } from "./generation/cached-decoder.ts";
import { type GenerationSettings, readGenerationSettings } from "./generation-settings.ts";

/** What a language model writes with. */
export interface CompiledWriter extends GenerationSettings {
  decoder: CachedDecoder;
}

/** A base model with an adapter's method, compiled; the arrays of adapters of the same kind can be fed in turn. */
export class CompiledModel {
  readonly predictor: Predictor;
  readonly #compile: { writer(): Promise<CompiledWriter>; featured(): Promise<Predictor> };
  #writer: Promise<CompiledWriter> | undefined;
  #featured: Promise<Predictor> | undefined;

  /** What it minimises, and its parameters before training. */
  readonly #trained: { objective: Objective; untrained: Tensors<"float32"> };

  private constructor(
    predictor: Predictor,
    compile: { writer(): Promise<CompiledWriter>; featured(): Promise<Predictor> },
    trained: { objective: Objective; untrained: Tensors<"float32"> },
  ) {
    this.predictor = predictor;
    this.#compile = compile;
    this.#trained = trained;
  }

  /**
   * @param adapter whose arrays are used where a call brings none
   * @param alone whether no call brings others: what writes then has them as constants
   */
  static async compile(
    base: BaseModel,
    adapter: FittedAdapter,
    runtime: Runtime,
    { alone = false }: { alone?: boolean } = {},
  ): Promise<CompiledModel> {
    const { description, adaptation, parameters } = adapter;
    const model: AdaptedModel = { ...base, adaptation, trainsHead: () => true };
    const weights: Tensors = new Map([...base.weights, ...base.quantized, ...parameters]);
    const predictor = await Predictor.compile(model, weights, runtime, { readBy: findTaskKind(description.task.kind) });
    const compile = {
      writer: async () => ({
        ...(await readGenerationSettings(base)),
        decoder: await CachedDecoder.compile(model, weights, runtime, { alone }),
      }),
      featured: () => Predictor.compile(model, weights, runtime, { withFeatures: true }),
    };
    const objective = objectiveOf(description.task);
    const untrained: Tensors<"float32"> =
      objective.reference === undefined ? new Map() : untrainedParameters(base, adapter);
    return new CompiledModel(predictor, compile, { objective, untrained });
  }

  /** Examples with what the base model gives of them, where the loss compares with that. @throws the signal's reason */
  async withReference(examples: PredictedExample[], signal?: AbortSignal): Promise<PredictedExample[]> {
    const { objective, untrained } = this.#trained;
    if (objective.reference === undefined) return examples;
    const values = await this.predictor.logits(examples, untrained, signal);
    return examples.map((each, i) => ({ ...each, targets: referredTo(objective, each.targets!, values[i]!) }));
  }

  /** Of each text the head's outputs and what its last layer reads, `[labels + width]`; compiled as {@link writer} is. */
  featured(): Promise<Predictor> {
    this.#featured ??= this.#compile.featured().catch((error: unknown) => {
      this.#featured = undefined;
      throw error;
    });
    return this.#featured;
  }

  /** What it writes with, compiled when first asked for; again where that failed, since memory may have been short. */
  writer(): Promise<CompiledWriter> {
    this.#writer ??= this.#compile.writer().catch((error: unknown) => {
      this.#writer = undefined;
      throw error;
    });
    return this.#writer;
  }

  /** Frees what was compiled; more than once does no more. */
  async release(): Promise<void> {
    const [writer, featured] = [this.#writer, this.#featured];
    this.#writer = undefined;
    this.#featured = undefined;
    await this.predictor.release();
    await (await featured)?.release();
    await (await writer)?.decoder.release();
  }
}
