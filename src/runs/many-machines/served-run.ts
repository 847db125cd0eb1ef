import type { Redis } from "ioredis";
import { type LoadedBaseModel, loadBaseModel } from "../../base-models/load-base-model-node.ts";
import { UserError } from "../../errors.ts";
import { float32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import { findMethod, parseMethodOptions } from "../../methods/methods.ts";
import { contrastStep } from "../../preparation/stages/contrast.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Objective } from "../../tasks/losses/objective.ts";
import { objectiveOf } from "../../tasks/task-kinds.ts";
import { advance } from "../../training/local-steps/replica.ts";
import { ModelRun } from "../../training/model-run.ts";
import { TrainingStep } from "../../training/step.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import { type StepPart, writePart } from "../../training/step-part.ts";
import type { Results } from "./jobs.ts";
import { readMessage } from "./message.ts";
import {
  keysOf,
  REPLICA,
  type ReplicaShard,
  type RunOrder,
  type Shard,
  stateSchema,
  valuesSchema,
} from "./protocol.ts";
import { ownShapes } from "./run-state.ts";

/** The newest state: the parameters that train, and their graphs. */
interface Step {
  state: number;
  model: AdaptedModel;
  objective: Objective;
  /** Everything that the model reads. Trainable parameters are changed in place. */
  weights: Tensors;
  runs: Map<StepPart, ModelRun>;
  /** Step of replicas. */
  replicaStep?: TrainingStep;
}

/** A run of another machine whose shards this worker computes. */
export class ServedRun {
  readonly #keys: ReturnType<typeof keysOf>;
  #step: Step | undefined;
  /** Step of the current weights. */
  #at: number | undefined;

  private constructor(
    id: string,
    private readonly client: Redis,
    private readonly order: RunOrder,
    private readonly base: LoadedBaseModel,
    private readonly runtime: Runtime,
  ) {
    this.#keys = keysOf(id);
  }

  /** Reads the run's base model. @param place argument of `loadBaseModel` */
  static async open(
    id: string,
    client: Redis,
    order: RunOrder,
    { place, offline, runtime }: { place: string; offline?: boolean | undefined; runtime: Runtime },
  ): Promise<ServedRun> {
    const { adapter, seed } = order;
    const { revision, task, base: format = "float32" } = adapter;
    const base = await loadBaseModel(place, task, seed, { revision, offline, format });
    return new ServedRun(id, client, order, base, runtime);
  }

  /**
   * Computes a shard, or a replica's steps.
   * @returns the results and the seconds that they took; undefined if the run has moved past this step
   */
  async compute(
    shard: Shard | ReplicaShard,
    inputs: Tensors,
  ): Promise<{ results: Results; seconds: number } | undefined> {
    const { state, step } = shard;
    const at = await this.#updateTo(state, step);
    if (!at) return undefined;
    const compute = await this.#computing(at, shard, inputs);
    const started = performance.now();
    const results = await compute();
    return { results, seconds: (performance.now() - started) / 1000 };
  }

  async #computing(at: Step, shard: Shard | ReplicaShard, inputs: Tensors): Promise<() => Promise<Results>> {
    if (shard.part !== REPLICA) {
      const run = at.runs.get(shard.part) ?? (await this.#compile(at, shard.part));
      return async () => (await run.run(shard.step, shard.examples, Object.fromEntries(inputs))).results;
    }
    const { model, objective, weights } = at;
    const { dropout, recompute, seed, tokenBudget } = this.order;
    const settings = { objective, dropout, recompute, seed, tokenBudget };
    at.replicaStep ??= await TrainingStep.compile(model, weights, this.runtime, settings);
    const { replicaStep } = at;
    const known = ownShapes(model);
    const named = new Set(shard.groups.flatMap(({ names }) => names));
    const isRight =
      [...named].every((name) => known.has(name)) && [...replicaStep.trained.keys()].every((name) => named.has(name));
    if (!isRight || shard.factors.length !== shard.batches.length)
      throw new UserError("a replica's steps do not fit the run");
    return () => advance(replicaStep, weights, shard);
  }

  async release(): Promise<void> {
    await this.#step?.replicaStep?.release();
    for (const { compiled } of this.#step?.runs.values() ?? []) await compiled.release();
    this.#step = undefined;
  }

  async #compile({ model, objective, weights, runs }: Step, part: StepPart): Promise<ModelRun> {
    const { dropout, recompute, seed } = this.order;
    const write = (of: AdaptedModel) => writePart(part, of, { objective, dropout, recompute });
    const run = await ModelRun.compile(model, write, weights, this.runtime, seed);
    runs.set(part, run);
    return run;
  }

  /** Updates the trainable parameters to a step. @returns undefined if the server no longer has it */
  async #updateTo(state: number, step: number): Promise<Step | undefined> {
    if (this.#step?.state === state && this.#at === step) return this.#step;
    if (this.#step?.state !== state) {
      const bytes = await this.client.getBuffer(this.#keys.state(state));
      if (!bytes) return undefined;
      await this.release();
      this.#step = this.#stepOf(state, bytes);
    }
    const bytes = await this.client.getBuffer(this.#keys.values);
    const values = bytes ? readMessage(bytes, valuesSchema) : undefined;
    if (values?.facts.state !== state || values.facts.step !== step) return undefined;
    this.#at = step;
    copyInto(values.tensors, this.#step!.weights, ownShapes(this.#step!.model));
    return this.#step;
  }

  #stepOf(state: number, bytes: Buffer): Step {
    const message = readMessage(bytes, stateSchema);
    if (!message) throw new UserError("the run's state on the server is malformed");
    const { trainable, trainedHead, frozenBlocks } = message.facts;
    const { adapter, contrastive } = this.order;
    const definition = findMethod(adapter.method);
    const adaptation = definition.adapt(parseMethodOptions(definition, adapter.methodOptions), this.base.trace.modules);
    const trained = new Set(trainedHead);
    const adapted: AdaptedModel = {
      ...this.base,
      adaptation,
      ...(trainable && { trainable: new Set(trainable) }),
      ...(frozenBlocks && { frozenBlocks: { ...frozenBlocks, parameters: new Set(frozenBlocks.parameters) } }),
      trainsHead: (name) => trained.has(name),
    };
    const { model, objective } = (contrastive ? contrastStep(adapted, adapter.task) : undefined) ?? {
      model: adapted,
      objective: objectiveOf(adapter.task),
    };
    const shapes = ownShapes(model);
    const { weights: own, quantized } = this.base;
    const weights = new Map<string, Tensor>([...own, ...quantized]);
    for (const [name, shape] of shapes) weights.set(name, float32(shape));
    const missing = [...shapes.keys()].find((name) => !message.tensors.has(name));
    if (missing !== undefined) throw new UserError(`the run's state on the server has no "${missing}"`);
    copyInto(message.tensors, weights, shapes);
    return { state, model, objective, weights, runs: new Map() };
  }
}

/** Copies received values into the weights. @throws UserError if their shapes differ */
function copyInto(values: Tensors, weights: Tensors, shapes: ReadonlyMap<string, readonly number[]>): void {
  for (const [name, { dtype, shape, data }] of values) {
    if (dtype !== "float32" || shapes.get(name)?.join() !== shape.join()) {
      throw new UserError(`"${name}" came as ${dtype} [${shape.join(", ")}], which does not fit this model`);
    }
    (weights.get(name)!.data as Float32Array).set(data as Float32Array);
  }
}
