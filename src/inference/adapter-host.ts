import { didYouMean, UserError } from "../errors.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Adapter, AdapterDescription } from "../model/adapter.ts";
import { type BaseModel, withHead } from "../model/base-model.ts";
import { fitAdapter } from "../model/fitted-adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { CompiledModel } from "./compiled-model.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

/** What was compiled, and how many adapters it is kept for. */
interface SharedModel {
  compiled: Promise<CompiledModel>;
  users: number;
}

export interface AddOptions {
  /** Take the place of an adapter that has the name. */
  replace?: boolean;
  /** Whether what is compiled for it is for no other adapter: it answers faster then. */
  alone?: boolean;
}

/**
 * One base model in memory that serves many adapters, of any methods and tasks. An adapter's arrays are inputs of the
 * compiled graph, so adapters of the same method, options and number of labels share one graph, and changing from one to
 * another costs nothing.
 */
export class AdapterHost {
  readonly base: BaseModel;
  readonly #runtime: Runtime;
  readonly #models = new Map<string, { model: FineTunedModel; kind: string }>();
  /** By what they compute. */
  readonly #shared = new Map<string, SharedModel>();
  #released = false;

  /** @param base of any task: each adapter is given the head of its own */
  constructor(base: BaseModel, runtime: Runtime) {
    this.base = base;
    this.#runtime = runtime;
  }

  /** Names of the adapters at hand. */
  get names(): string[] {
    return [...this.#models.keys()];
  }

  /** Number of graphs compiled for them. */
  get compiledGraphs(): number {
    return this.#shared.size;
  }

  /**
   * Makes an adapter available under a name.
   * @throws UserError where the name is taken and `replace` is not asked for, or the adapter does not fit the base model; then
   * what had the name keeps it. Likewise where the host was released, or is meanwhile.
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
      // The next adapter of the kind is compiled anew: what failed may have been a lack of memory.
      if (this.#shared.get(kind) === shared) this.#shared.delete(kind);
      throw error;
    }
    this.#refuseIfReleased(name);
    const old = this.#models.get(name);
    if (old && !replace) {
      // Another took the name while this one was compiled.
      await this.#leave(kind);
      this.#refuseTaken(name, replace);
    }
    this.#models.set(name, { model: new FineTunedModel(base, fitted, compiled), kind });
    if (old) await this.#leave(old.kind);
  }

  /** Forgets an adapter; a graph that no other needs is released. Predictions with it must have ended. */
  async remove(name: string): Promise<void> {
    const known = this.#models.get(name);
    if (!known) return;
    this.#models.delete(name);
    await this.#leave(known.kind);
  }

  /**
   * The base model with one of the adapters: it predicts as any fine-tuned model does. The host releases it.
   * @throws UserError where there is no adapter of that name.
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

  /** Frees what was compiled; a process must not exit before. Nothing can be added afterwards. */
  async release(): Promise<void> {
    this.#released = true;
    const shared = [...this.#shared.values()];
    this.#shared.clear();
    this.#models.clear();
    for (const { compiled } of shared) {
      // What could not be compiled is told to who adds it, and leaves nothing to free.
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

  /** One adapter of a kind is gone: the last of them takes the graph with it. */
  async #leave(kind: string): Promise<void> {
    const shared = this.#shared.get(kind)!;
    shared.users--;
    if (shared.users > 0) return;
    this.#shared.delete(kind);
    await (await shared.compiled).release();
  }
}

/** Adapters of one kind differ in their arrays alone. */
function kindOf(
  { method, methodOptions, task }: AdapterDescription,
  { labelCount, head, features }: BaseModel,
): string {
  const options = Object.entries(parseMethodOptions(findMethod(method), methodOptions)).sort();
  const { readout } = findTaskKind(task.kind);
  return JSON.stringify([method, options, labelCount, head, features, readout && task.kind]);
}
