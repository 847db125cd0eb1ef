import { didYouMean, UserError } from "../errors.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Adapter, AdapterDescription } from "../model/adapter.ts";
import { type BaseModel, withHead } from "../model/base-model.ts";
import { fitAdapter } from "../model/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { CompiledModel } from "./compiled-model.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

/** A compiled model, and the number of adapters that use it. */
interface SharedModel {
  compiled: Promise<CompiledModel>;
  users: number;
}

export interface AddOptions {
  /** Whether to replace an adapter with the same name. */
  replace?: boolean;
  /** Whether no other adapter shares the compiled graph: the adapter then answers faster. */
  alone?: boolean;
}

/**
 * One base model in memory that serves many adapters, of any methods and tasks. An adapter's arrays are inputs of the
 * compiled graph, so adapters of the same method, options and number of labels share one graph, and switching between
 * them costs nothing.
 */
export class AdapterHost {
  readonly base: BaseModel;
  readonly #runtime: Runtime;
  readonly #models = new Map<string, { model: FineTunedModel; kind: string }>();
  /** Compiled models by the kind of adapter. */
  readonly #shared = new Map<string, SharedModel>();
  #released = false;

  /** @param base for any task: each adapter gets a head of its own */
  constructor(base: BaseModel, runtime: Runtime) {
    this.base = base;
    this.#runtime = runtime;
  }

  /** Names of the loaded adapters. */
  get names(): string[] {
    return [...this.#models.keys()];
  }

  /** Number of compiled graphs. */
  get compiledGraphs(): number {
    return this.#shared.size;
  }

  /**
   * Makes an adapter available under a name.
   * @throws UserError if the name is taken and `replace` is not set, or the adapter does not fit the base model (the name then keeps its
   * old adapter), or if the host is released before or meanwhile.
   */
  async add(name: string, adapter: Adapter, { replace = false, alone = false }: AddOptions = {}): Promise<void> {
    this.#refuseIfReleased(name);
    this.#refuseTaken(name, replace);
    const base = await withHead(this.base, adapter.description.task, 0);
    this.#refuseIfReleased(name);
    const fitted = fitAdapter(base, adapter);
    const kind = JSON.stringify([kindOf(adapter.description, base), ...(alone ? [name] : [])]);
    const compile = () => CompiledModel.compile(base, fitted, this.#runtime, { constantAdapter: alone });
    const shared = this.#shared.get(kind) ?? { compiled: compile(), users: 0 };
    this.#shared.set(kind, shared);
    shared.users++;
    let compiled: CompiledModel;
    try {
      compiled = await shared.compiled;
    } catch (error) {
      // The next adapter of this kind is compiled again, because the failure may have been a lack of memory.
      if (this.#shared.get(kind) === shared) this.#shared.delete(kind);
      throw error;
    }
    this.#refuseIfReleased(name);
    const old = this.#models.get(name);
    if (old && !replace) {
      // Another adapter took the name while this one was compiled.
      await this.#leave(kind);
      this.#refuseTaken(name, replace);
    }
    this.#models.set(name, { model: new FineTunedModel(base, fitted, compiled), kind });
    if (old) await this.#leave(old.kind);
  }

  /** Removes an adapter, and releases its graph if no other adapter uses it. Predictions with it must have ended. */
  async remove(name: string): Promise<void> {
    const known = this.#models.get(name);
    if (!known) return;
    this.#models.delete(name);
    await this.#leave(known.kind);
  }

  /**
   * Returns the base model with one of the adapters, as a fine-tuned model. The host releases it.
   * @throws UserError if there is no adapter with this name.
   */
  use(name: string): FineTunedModel {
    const known = this.#models.get(name);
    if (!known) {
      throw new UserError(
        `there is no adapter "${name}"${didYouMean(name, this.names)} (adapters: ${this.names.join(", ")})`,
      );
    }
    return known.model;
  }

  /** Frees the compiled graphs; a process must not exit before. No adapter can be added afterwards. */
  async release(): Promise<void> {
    this.#released = true;
    const shared = [...this.#shared.values()];
    this.#shared.clear();
    this.#models.clear();
    for (const { compiled } of shared) {
      // A graph that failed to compile is reported to the caller that added it, and there is nothing to free.
      const there = await compiled.catch(() => undefined);
      await there?.release();
    }
  }

  #refuseIfReleased(name: string): void {
    if (!this.#released) return;
    throw new UserError(`the host was released, and adapter "${name}" was not added; load another host for it`);
  }

  #refuseTaken(name: string, replace: boolean): void {
    if (replace || !this.#models.has(name)) return;
    throw new UserError(
      `there is an adapter "${name}" already; give the new one another name, or { replace: true } to put it in its place`,
    );
  }

  /** Removes one user of a kind. The last one releases the graph. */
  async #leave(kind: string): Promise<void> {
    const shared = this.#shared.get(kind)!;
    shared.users--;
    if (shared.users > 0) return;
    this.#shared.delete(kind);
    await (await shared.compiled).release();
  }
}

/** Key of an adapter's kind. Adapters of one kind differ only in their arrays. */
function kindOf(
  { method, methodOptions, task }: AdapterDescription,
  { labelCount, head, features }: BaseModel,
): string {
  const options = Object.entries(parseMethodOptions(findMethod(method), methodOptions)).sort();
  const { readout } = findTaskKind(task.kind);
  return JSON.stringify([method, options, labelCount, head, features, readout && task.kind]);
}
