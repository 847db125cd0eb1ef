import type { HubOptions } from "../checkpoints/hub-node.ts";
import { didYouMean, UserError } from "../errors.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import { traceModel } from "../models/trace.ts";
import { openAdapter } from "../runs/open-adapter.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Predictor } from "../training/predictor.ts";
import { headFor, labelCountFor } from "../training/training-example.ts";
import type { Adapter, AdapterDescription } from "./adapter.ts";
import { type BaseModel, loadBaseModel } from "./base-model.ts";
import { compilePredictor, FineTunedModel, fitAdapter } from "./fine-tuned-model.ts";

/**
 * One base model in memory that serves many adapters, of any methods and tasks. An adapter's arrays are inputs of the
 * compiled graph, so adapters of the same method, options and number of labels share one graph, and changing from one to
 * another costs nothing.
 */
export class AdapterHost {
  readonly #base: BaseModel;
  readonly #runtime: Runtime;
  readonly #models = new Map<string, FineTunedModel>();
  /** By what they compute. */
  readonly #predictors = new Map<string, Promise<Predictor>>();

  private constructor(base: BaseModel, runtime: Runtime) {
    this.#base = base;
    this.#runtime = runtime;
  }

  /**
   * Loads a base model: a folder, the bundled model's name, or `owner/name` on the hub.
   * @throws UserError where it is missing, damaged or not supported.
   */
  static async load(model: string, runtime: Runtime = nodeRuntime(), hub: HubOptions = {}): Promise<AdapterHost> {
    return new AdapterHost(await loadBaseModel(model, { kind: "regression", labels: [] }, 0, hub), runtime);
  }

  /** Names of the adapters at hand. */
  get names(): string[] {
    return [...this.#models.keys()];
  }

  /** Number of graphs compiled for them. */
  get compiledGraphs(): number {
    return this.#predictors.size;
  }

  /**
   * Makes an adapter available under a name, in place of one that had it.
   * @param adapter run folder, adapter folder of aflora's or of Hugging Face PEFT's, or an adapter in memory
   * @throws UserError where it cannot be read or does not fit the base model.
   */
  async add(name: string, adapter: string | Adapter): Promise<void> {
    const opened = typeof adapter === "string" ? await openAdapter(adapter, { model: this.#base.directory }) : adapter;
    const base = withHead(this.#base, opened.description.task);
    const fitted = fitAdapter(base, opened);
    const key = kindOf(opened.description);
    const predictor = this.#predictors.get(key) ?? compilePredictor(base, fitted, this.#runtime);
    this.#predictors.set(key, predictor);
    this.#models.set(name, new FineTunedModel(base, fitted, await predictor));
  }

  /** Forgets an adapter. */
  remove(name: string): void {
    this.#models.delete(name);
  }

  /**
   * The base model with one of the adapters: it predicts as any fine-tuned model does. The host releases it.
   * @throws UserError where there is no adapter of that name.
   */
  use(name: string): FineTunedModel {
    const model = this.#models.get(name);
    if (!model) {
      throw new UserError(
        `there is no adapter "${name}"${didYouMean(name, this.names)} (adapters: ${this.names.join(", ")})`,
      );
    }
    return model;
  }

  /** Frees what was compiled; a process must not exit before. */
  async release(): Promise<void> {
    for (const predictor of this.#predictors.values()) await (await predictor).release();
    this.#predictors.clear();
    this.#models.clear();
  }
}

/** The same base model and arrays with a head for another task. */
function withHead(base: BaseModel, task: AdapterDescription["task"]): BaseModel {
  const labelCount = labelCountFor(task);
  const head = headFor(task.kind);
  return { ...base, labelCount, head, trace: traceModel(base, labelCount, head) };
}

/** Adapters of one kind differ in their arrays alone. */
function kindOf({ method, methodOptions, task }: AdapterDescription): string {
  const options = Object.entries(parseMethodOptions(findMethod(method), methodOptions)).sort();
  return JSON.stringify([method, options, labelCountFor(task), headFor(task.kind)]);
}
