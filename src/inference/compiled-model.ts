import { UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { BaseModel } from "../model/base-model.ts";
import { type FittedAdapter, untrainedParameters } from "../model/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { type PredictedExample, Predictor } from "../training/prediction/predictor.ts";
import { withReferenceValues } from "../training/prediction/reference.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { CachedDecoder } from "./generation/cached-decoder.ts";
import { type GenerationSettings, readGenerationSettings } from "./generation-settings.ts";

/** Decoder and settings with which a language model generates. */
export interface CompiledWriter extends GenerationSettings {
  decoder: CachedDecoder;
}

/** Parts of a model, each compiled at its first use. */
interface Compilable {
  predictor: Predictor;
  featured: Predictor;
  writer: CompiledWriter;
}

type Compile = { [Name in keyof Compilable]: () => Promise<Compilable[Name]> };

/** A base model with an adapter's method, compiled. Adapters of the same kind can use it in turn. */
export class CompiledModel {
  readonly #compile: Compile;
  #made: { [Name in keyof Compilable]?: Promise<Compilable[Name]> | undefined } = {};
  #released = false;

  /** Objective of the model, and its parameters before training. */
  readonly #trained: { objective: Objective; untrained: Tensors<"float32"> };

  private constructor(compile: Compile, trained: { objective: Objective; untrained: Tensors<"float32"> }) {
    this.#compile = compile;
    this.#trained = trained;
  }

  /**
   * @param adapter whose arrays are the default
   * @param constantAdapter whether no call passes other arrays, so that the writer can use them as constants
   */
  static async compile(
    base: BaseModel,
    adapter: FittedAdapter,
    runtime: Runtime,
    { constantAdapter = false }: { constantAdapter?: boolean } = {},
  ): Promise<CompiledModel> {
    const { description, adaptation, parameters } = adapter;
    const kind = findTaskKind(description.task.kind);
    const model: AdaptedModel = { ...base, adaptation, trainsHead: () => true };
    const weights: Tensors = new Map([...base.weights, ...base.quantized, ...parameters]);
    const objective = objectiveOf(description.task);
    const untrained: Tensors<"float32"> =
      objective.reference === undefined ? new Map() : untrainedParameters(base, adapter);
    const compiled = new CompiledModel(
      {
        predictor: () => Predictor.compile(model, weights, runtime, { readBy: kind }),
        featured: () => Predictor.compile(model, weights, runtime, { withFeatures: true }),
        writer: async () => ({
          ...(await readGenerationSettings(base)),
          decoder: await CachedDecoder.compile(model, weights, runtime, { constantAdapter }),
        }),
      },
      { objective, untrained },
    );
    // Outputs of a language model are rarely requested.
    if (kind.head !== "languageModel") await compiled.predictor();
    return compiled;
  }

  /** Adds the base model's values to examples if the loss compares with them. @throws the signal's reason */
  async withReference(examples: PredictedExample[], signal?: AbortSignal): Promise<PredictedExample[]> {
    const { objective, untrained } = this.#trained;
    if (objective.reference === undefined) return examples;
    const predictor = await this.predictor();
    const values = await predictor.logits(examples, untrained, signal);
    return examples.map((each, i) => ({ ...each, targets: withReferenceValues(objective, each.targets!, values[i]!) }));
  }

  /** Predictor of the head's outputs. @throws UserError if the model was released, like the methods below */
  predictor(): Promise<Predictor> {
    return this.#once("predictor");
  }

  /** Predictor of the head's outputs and the features that its last layer reads, `[labels + width]`. */
  featured(): Promise<Predictor> {
    return this.#once("featured");
  }

  /** Decoder and settings for generation. */
  writer(): Promise<CompiledWriter> {
    return this.#once("writer");
  }

  /** Compiles a part at its first use, and again after a failure, since memory may have been short. */
  async #once<Name extends keyof Compilable>(name: Name): Promise<Compilable[Name]> {
    if (this.#released) throw new UserError("the model was released; load it again to ask it");
    const made: { [Each in Name]?: Promise<Compilable[Name]> | undefined } = this.#made;
    const known = made[name] ?? this.#compile[name]();
    made[name] = known;
    try {
      return await known;
    } catch (error) {
      if (made[name] === known) made[name] = undefined;
      throw error;
    }
  }

  /** Frees the compiled parts. Further calls do nothing. */
  async release(): Promise<void> {
    const { predictor, featured, writer } = this.#made;
    this.#released = true;
    this.#made = {};
    await (await predictor)?.release();
    await (await featured)?.release();
    await (await writer)?.decoder.release();
  }
}
