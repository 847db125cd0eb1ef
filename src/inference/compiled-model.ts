import type { BaseModel } from "../base-models/base-model.ts";
import { type FittedAdapter, untrainedParameters } from "../base-models/fitted-adapter.ts";
import { UserError } from "../errors.ts";
import { areFinite, type Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Example } from "../tasks/example.ts";
import { type List, MOST_KEPT } from "../tasks/list.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import { findTaskKind, objectiveOf } from "../tasks/task-kinds.ts";
import { type OutputReader, type PredictedExample, Predictor } from "../training/prediction/predictor.ts";
import { withReferenceValues } from "../training/prediction/reference.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import { CachedDecoder } from "./generation/cached-decoder.ts";
import { type GenerationSettings, readGenerationSettings } from "./generation-settings.ts";

/** Stops and follows a computation over several texts. */
export interface ComputeOptions {
  /** Aborts a computation between two parts, with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Receives the number of finished inputs after each part. */
  onDone?: ((done: number, of: number) => void) | undefined;
}

/** Maximum number of outputs in memory at once: 838 examples of 10,000 labels take 34 MB. */
const MOST_OUTPUTS = 2 ** 23;

export interface CompiledWriter extends GenerationSettings {
  decoder: CachedDecoder;
}

interface Compilable {
  predictor: OutputReader;
  featured: OutputReader;
  writer: CompiledWriter;
}

type Compile = { [Name in keyof Compilable]: () => Promise<Compilable[Name]> };

/** A base model with an adapter's method, compiled. Adapters of the same kind can use it in turn. */
export class CompiledModel {
  readonly #compile: Compile;
  #made: { [Name in keyof Compilable]?: Promise<Compilable[Name]> | undefined } = {};
  #released = false;

  private constructor(
    compile: Compile,
    private readonly trained?: { objective: Objective; untrained: Tensors<"float32"> },
  ) {
    this.#compile = compile;
  }

  /** A whole model that was compiled elsewhere, and only gives outputs of its head. */
  static ofOutputs(outputs: OutputReader): CompiledModel {
    const refuse = async (): Promise<never> => {
      throw new UserError("an exported model gives only the outputs of its head; load the run that it was made from");
    };
    return new CompiledModel({ predictor: async () => outputs, featured: refuse, writer: refuse });
  }

  /** @param adapter whose arrays are the default */
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
    if (!kind.writing) await compiled.#once("predictor");
    return compiled;
  }

  /** Adds the base model's values to examples if the loss compares with them. */
  async withReference(examples: PredictedExample[], signal?: AbortSignal): Promise<PredictedExample[]> {
    if (this.trained?.objective.reference === undefined) return examples;
    const { objective, untrained } = this.trained;
    const values = await this.outputs("predictor", examples, untrained, signal);
    return examples.map((each, i) => ({ ...each, targets: withReferenceValues(objective, each.targets!, values[i]!) }));
  }

  /**
   * Computes outputs of the head as {@link Predictor.logits} does.
   * @param part `featured` returns each row with the features that the head's last layer reads, `[labels + width]`
   */
  async outputs(
    part: "predictor" | "featured",
    ...[examples, ...others]: Parameters<Predictor["logits"]>
  ): Promise<Float32Array[]> {
    const predictor = await this.#once(part);
    const rows = await predictor.logits(examples, ...others);
    const wrong = rows.findIndex((row) => !areFinite(row));
    if (wrong < 0) return rows;
    throw new UserError(
      `the model's outputs for text ${examples[wrong]!.index + 1} are not finite; check the weights and the settings of the model and its adapter`,
    );
  }

  /**
   * Computes outputs like {@link outputs} for each example in turn, so that memory need not hold those of all examples.
   */
  async *outputsInTurn(
    part: "predictor" | "featured",
    examples: List<Example>,
    encode: (some: readonly Example[]) => Promise<PredictedExample[]>,
    adapter: Tensors,
    { signal, onDone, width }: ComputeOptions & { width: number },
  ): AsyncGenerator<{ example: Example; encoded: PredictedExample; row: Float32Array }, void> {
    const size = Math.min(MOST_KEPT, Math.ceil(MOST_OUTPUTS / width));
    for (let from = 0; from < examples.length; from += size) {
      const some = examples.slice(from, from + size);
      const encoded = await encode(some);
      const rows = await this.outputs(part, encoded, adapter, signal, (done) => onDone?.(from + done, examples.length));
      for (const [i, row] of rows.entries()) yield { example: some[i]!, encoded: encoded[i]!, row };
    }
  }

  writer(): Promise<CompiledWriter> {
    return this.#once("writer");
  }

  /** Compiles a part at its first use, and again after a failure, since memory may have been short. */
  async #once<Name extends keyof Compilable>(name: Name): Promise<Compilable[Name]> {
    if (this.#released) throw new UserError("the model was released; load it again to use it");
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

  async release(): Promise<void> {
    const { predictor, featured, writer } = this.#made;
    this.#released = true;
    this.#made = {};
    await (await predictor)?.release();
    await (await featured)?.release();
    await (await writer)?.decoder.release();
  }
}
