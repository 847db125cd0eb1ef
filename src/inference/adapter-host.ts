import type { Adapter } from "../base-models/adapter.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { didYouMean, UserError } from "../errors.ts";
import type { Runtime } from "../runtime/session.ts";
import type { CompiledModel } from "./compiled-model.ts";
import type { FineTunedModel } from "./fine-tuned-model.ts";

/** A compiled model, and the number of adapters that use it. */
interface SharedModel {
  compiled: Promise<CompiledModel>;
  users: number;
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
   * @param options `replace`: whether to replace an adapter with the same name; `alone`: whether no other adapter shares the compiled
   * graph, so that the adapter answers faster
   * @throws UserError if the name is taken and `replace` is not set, or the adapter does not fit the base model (the name then keeps its
   * old adapter), or if the host is released before or meanwhile.
   */
  async add(
    name: string,
    adapter: Adapter,
    { replace = false, alone = false }: { replace?: boolean; alone?: boolean } = {},
  ): Promise<void> {
    this.#refuseIfReleased(name);
    this.#refuseTaken(name, replace);
    // Imported here, so that a program which imports the class starts without the code that computes.
    const { fitHostedAdapter } = await import("./hosted-adapter.ts");
    const hosted = await fitHostedAdapter(this.base, adapter);
    this.#refuseIfReleased(name);
    const kind = JSON.stringify([hosted.group, ...(alone ? [name] : [])]);
    const shared = this.#shared.get(kind) ?? { compiled: hosted.compile(this.#runtime, alone), users: 0 };
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
    this.#models.set(name, { model: hosted.modelOf(compiled), kind });
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
      `there is an adapter "${name}" already; give the new one another name, or { replace: true } to replace the old one`,
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
