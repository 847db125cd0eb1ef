import { UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import type { BaseModel } from "../model/base-model.ts";
import { type FittedAdapter, untrainedParameters } from "../model/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { type PredictedExample, Predictor } from "../training/prediction/predictor.ts";
import { referredTo } from "../training/prediction/reference.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { CachedDecoder } from "./generation/cached-decoder.ts";
import { type GenerationSettings, readGenerationSettings } from "./generation-settings.ts";

/** What a language model writes with. */
export interface CompiledWriter extends GenerationSettings {
  decoder: CachedDecoder;
}

/** What a model computes with, each compiled when it is first asked for. */
interface Compilable {
  predictor: Predictor;
  featured: Predictor;
  writer: CompiledWriter;
}

type Compile = { [Name in keyof Compilable]: () => Promise<Compilable[Name]> };

/** A base model with an adapter's method, compiled; the arrays of adapters of the same kind can be fed in turn. */
export class CompiledModel {
  readonly #compile: Compile;
  #made: { [Name in keyof Compilable]?: Promise<Compilable[Name]> | undefined } = {};
  #released = false;

  /** What it minimises, and its parameters before training. */
  readonly #trained: { objective: Objective; untrained: Tensors<"float32"> };

  private constructor(compile: Compile, trained: { objective: Objective; untrained: Tensors<"float32"> }) {
    this.#compile = compile;
    this.#trained = trained;
  }

  /**
   * @param adapter whose arrays are used where a call brings none
   * @param constantAdapter whether no call brings others: what writes then has them as constants
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
    // What writes is mostly not asked for its outputs.
    if (kind.head !== "languageModel") await compiled.predictor();
    return compiled;
  }

  /** Examples with what the base model gives of them, where the loss compares with that. @throws the signal's reason */
  async withReference(examples: PredictedExample[], signal?: AbortSignal): Promise<PredictedExample[]> {
    const { objective, untrained } = this.#trained;
    if (objective.reference === undefined) return examples;
    const predictor = await this.predictor();
    const values = await predictor.logits(examples, untrained, signal);
    return examples.map((each, i) => ({ ...each, targets: referredTo(objective, each.targets!, values[i]!) }));
  }

  /** The head's outputs of each text. @throws UserError where it was released, as the others */
  predictor(): Promise<Predictor> {
    return this.#once("predictor");
  }

  /** Of each text the head's outputs and what its last layer reads, `[labels + width]`. */
  featured(): Promise<Predictor> {
    return this.#once("featured");
  }

  /** What it writes with. */
  writer(): Promise<CompiledWriter> {
    return this.#once("writer");
  }

  /** Compiles it when it is first asked for; again where that failed, since memory may have been short. */
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

  /** Frees what was compiled; more than once does no more. */
  async release(): Promise<void> {
    const { predictor, featured, writer } = this.#made;
    this.#released = true;
    this.#made = {};
    await (await predictor)?.release();
    await (await featured)?.release();
    await (await writer)?.decoder.release();
  }
}
