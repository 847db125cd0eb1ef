import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import type { Redis } from "ioredis";
import { opt } from "../../errors.ts";
import type { Tensors } from "../../graph/tensor.ts";
import type { MicroBatch, MicroBatchRunner, ModelOutcome, ModelRun } from "../../training/model-run.ts";
import type { OtherMachines, ReplicaRunner } from "../../training/other-machines.ts";
import { isLargeSum, type TrainingStep } from "../../training/step.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import type { StepPart } from "../../training/step-part.ts";
import type { RunOfFiles } from "../run-of-files.ts";
import { describeFiles, sendFiles } from "./base-files.ts";
import {
  areFinite,
  isEqual,
  isNear,
  type Job,
  type JobKind,
  microBatchJob,
  type Results,
  replicaJob,
  whyWrong,
} from "./jobs.ts";
import { readMessage } from "./message.ts";
import { keysOf, LIFE, REPLICA, RUNS, type RunOrder, resultSchema } from "./protocol.ts";
import { RunState, trainedShapes } from "./run-state.ts";
import { connectAgain, type ServerConnection, unlessAborted, unlessFull } from "./server.ts";
import { WorkerNotes, WorkerShares } from "./workers.ts";

/** Milliseconds between two signs of life of the run. */
const HEARTBEAT = 10_000;
/** Seconds that one blocking read waits for results. */
const POLL = 1;
/** Milliseconds without a result after which a shard may be lost. At least this, and at least this multiple of a shard's time. */
const PATIENCE = 2000;
const PATIENCE_FACTOR = 4;
/** Milliseconds without any worker after which a note says it. */
const NO_WORKERS = 5000;

interface SharedRunOptions {
  onNote?: ((note: string) => void) | undefined;
  mixedProcessors?: boolean | undefined;
}

interface Offered extends Job {
  results?: Results;
}

interface Offer extends JobKind {
  shards: Map<string, Offered>;
}

/** Times in milliseconds: of the latest result, and when a worker last took a shard. */
interface ResultTimes {
  result: number;
  taken: number;
  /** Time after the taking until the shard may be lost. */
  patience: number;
}

/**
 * A run whose gradients workers compute, through a server. Each micro-batch is a shard. A worker computes it exactly as this
 * process would: a worker's first result of each graph is compared with this process's own, to the bit.
 */
export class SharedRun implements OtherMachines {
  readonly #id = randomBytes(16).toString("hex");
  readonly #keys = keysOf(this.#id);
  readonly #client: Redis;
  /** Connection that waits for results. */
  readonly #waiting: Redis;
  /** Connection that waits for requests for the base model's files. */
  readonly #asking: Redis;
  readonly #onNote: (note: string) => void;
  readonly #workerNotes: WorkerNotes;
  readonly #heartbeat: NodeJS.Timeout;
  #states = 0;
  /** Entries of the server. They are stored again if the server loses them. */
  #stored = new Map<string, Buffer | string>();
  /** Workers whose results of a graph equal this machine's. */
  readonly #trusted = new Set<string>();
  /** Refused workers, and the reasons. */
  readonly #refused = new Map<string, string>();
  readonly shares = new WorkerShares();
  #slowest = 0;
  #isLost = false;
  #notedNoWorkers = false;
  #notedShardCount = false;

  private constructor(
    private readonly server: ServerConnection,
    private readonly order: RunOrder,
    private readonly options: SharedRunOptions,
  ) {
    const { client } = server;
    this.#client = client;
    [this.#waiting, this.#asking] = [connectAgain(client), connectAgain(client)];
    this.#onNote = options.onNote ?? (() => {});
    this.#workerNotes = new WorkerNotes(this.#onNote);
    client.on("close", this.#onLost).on("ready", this.#onReconnected);
    this.#heartbeat = setInterval(() => void this.#announce().catch(() => undefined), HEARTBEAT);
  }

  static async open(server: ServerConnection, run: RunOfFiles, options: SharedRunOptions = {}): Promise<SharedRun> {
    const { settings, runtime, fineTuning, loaded } = run;
    const files = await describeFiles(loaded);
    const { description } = fineTuning;
    const order: RunOrder = {
      // A folder's path is private: workers receive its name only.
      adapter: { ...description, ...(files && { model: basename(description.model) }) },
      files,
      contrastive: settings.contrastive,
      dropout: settings.dropout,
      recompute: settings.recompute,
      tokenBudget: fineTuning.tokenBudget,
      seed: settings.seed,
      threads: runtime.threads,
    };
    const shared = new SharedRun(server, order, options);
    await shared.#announce().catch(async (error: unknown) => {
      // Its connections would keep the process alive.
      await shared.release();
      throw error;
    });
    void sendFiles(shared.#asking, server.client, shared.#id, loaded);
    const { address } = server;
    shared.#onNote(`workers compute its steps, through ${address}: aflora work --queue ${address}`);
    return shared;
  }

  share(model: AdaptedModel, weights: Tensors): (part: StepPart, own: ModelRun) => MicroBatchRunner {
    if (this.#states === 0 && isLargeSum(trainedShapes(model))) this.#onNote(LARGE);
    const state = new RunState(this.#states++, model, weights);
    return (part, own) => ({
      outcomes: (step, microBatches, signal) => this.#outcomes(state, { step, part, own }, microBatches, signal),
    });
  }

  shareReplicas(model: AdaptedModel, weights: Tensors, own: TrainingStep): ReplicaRunner {
    const state = new RunState(this.#states++, model, weights);
    return (replicas, signal) => {
      const kind = { state: state.number, step: replicas[0]!.step, part: REPLICA } as const;
      const jobs = replicas.map((replica, i) => replicaJob(kind, i, replica, { own, weights }));
      return this.#resultsOf(state, kind, jobs, own.compileSeconds, signal);
    };
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#client.off("close", this.#onLost).off("ready", this.#onReconnected);
    if (this.shares.text) this.#onNote(`shards by worker: ${this.shares.text}`);
    for (const each of [this.#waiting, this.#asking]) each.disconnect();
    const keys = [...this.#stored.keys(), this.#keys.order, this.#keys.shards, this.#keys.results, this.#keys.wanted];
    // Does not wait for a server that is gone: its keys expire.
    if (this.#client.status === "ready") {
      await this.#client
        .multi()
        .srem(RUNS, this.#id)
        .del(...keys)
        .exec()
        .catch(() => undefined);
    }
  }

  async *#outcomes(
    state: RunState,
    { step, part, own }: { step: number; part: StepPart; own: ModelRun },
    microBatches: readonly (() => MicroBatch)[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ModelOutcome, void> {
    const kind = { state: state.number, step, part };
    const made = microBatches.map((make) => make());
    const jobs = made.map((microBatch, i) => microBatchJob(kind, i, microBatch, own));
    const { compileSeconds } = own.compiled;
    let at = 0;
    for await (const results of this.#resultsOf(state, kind, jobs, compileSeconds, signal)) {
      const { flops, flopsSaved } = own.expected(made[at++]!.examples);
      yield { results, flops, flopsSaved };
    }
  }

  async *#resultsOf(
    state: RunState,
    kind: JobKind,
    jobs: readonly Job[],
    compileSeconds: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Results, void> {
    await unlessAborted(this.#putState(state, kind.step), signal);
    const shards = new Map(jobs.map((job): [string, Offered] => [job.shard, { ...job }]));
    if (!this.#notedShardCount) {
      this.#notedShardCount = true;
      this.#onNote(`shards in the first step: ${shards.size}; more workers than that find no work`);
    }
    const offer: Offer = { ...kind, shards };
    await unlessAborted(this.#offer([...shards.values()]), signal);
    const patience = this.#patienceFor(compileSeconds);
    const times: ResultTimes = { result: performance.now(), taken: performance.now(), patience };
    for (const offered of shards.values()) {
      while (!offered.results) {
        signal?.throwIfAborted();
        const found = await unlessAborted(this.#waiting.blpopBuffer(this.#keys.results, POLL), signal);
        if (!found) await unlessAborted(this.#offerAgain(offer, times), signal);
        else if (await this.#accept(found[1], offer, signal)) {
          const now = performance.now();
          this.#slowest = Math.max(this.#slowest, Math.min(now - times.taken, times.patience));
          this.#notedNoWorkers = false;
          Object.assign(times, { result: now, taken: now, patience: this.#patienceFor(compileSeconds) });
        }
      }
      yield offered.results;
      offered.results = {};
    }
  }

  readonly #onLost = (): void => {
    // Each failed attempt to reconnect is another loss.
    if (!this.#isLost) this.#onNote(`the server at ${this.server.address} does not answer: the run waits for it`);
    this.#isLost = true;
  };
  readonly #onReconnected = (): void => {
    this.#isLost = false;
  };

  #patienceFor(compileSeconds: number): number {
    return PATIENCE + PATIENCE_FACTOR * Math.max(this.#slowest, 1000 * compileSeconds);
  }

  /** Stores the trainable parameters on the server, replacing those from before, and their values at a step. */
  async #putState(state: RunState, step: number): Promise<void> {
    const place = this.#keys.state(state.number);
    if (!this.#stored.has(place)) {
      const before = [...this.#stored.keys()];
      this.#stored = new Map([[place, state.bytes()]]);
      await this.#store();
      if (before.length > 0) await this.#client.del(...before);
    }
    // Another graph of the same step has stored the values already.
    const now = `${state.number}.${step}`;
    if (this.#valuesAre === now) return;
    this.#stored.set(this.#keys.values, state.valuesAt(step));
    this.#valuesAre = now;
    await this.#store([this.#keys.values]);
  }
  #valuesAre = "";

  async #store(keys: Iterable<string> = this.#stored.keys()): Promise<void> {
    for (const key of keys) {
      await unlessFull(this.server.address, () => this.#client.set(key, this.#stored.get(key)!, "EX", LIFE));
    }
  }

  /** Announces the run, and renews its keys. @throws UserError if the server is full */
  async #announce(): Promise<void> {
    const lists = [this.#keys.shards, this.#keys.results, this.#keys.wanted];
    const multi = this.#client
      .multi()
      .sadd(RUNS, this.#id)
      .set(this.#keys.order, JSON.stringify(this.order), "EX", LIFE);
    for (const key of [...lists, ...this.#stored.keys()]) multi.expire(key, LIFE);
    await unlessFull(this.server.address, () => multi.exec());
  }

  async #offer(shards: readonly Offered[]): Promise<void> {
    const { shards: place } = this.#keys;
    // Shards left from an earlier step are computed already.
    const multi = this.#client.multi().del(place);
    for (const { bytes } of shards) multi.rpush(place, bytes);
    await unlessFull(this.server.address, () => multi.expire(place, LIFE).exec());
  }

  /** After a time without results: notes that no worker answers, or offers shards again that a worker may have lost. */
  async #offerAgain({ shards }: Offer, times: ResultTimes): Promise<void> {
    const isWaiting = (await this.#client.llen(this.#keys.shards)) > 0;
    const now = performance.now();
    if (isWaiting) {
      if (now - times.result > NO_WORKERS && !this.#notedNoWorkers) {
        this.#notedNoWorkers = true;
        this.#onNote(
          `the run waits for workers that take its shards: start aflora work --queue ${this.server.address}`,
        );
      }
      times.taken = now;
      return;
    }
    if (now - times.taken < times.patience) return;
    Object.assign(times, { taken: now, patience: 2 * times.patience });
    await this.#announce();
    await this.#store();
    await this.#offer([...shards.values()].filter(({ results }) => !results));
  }

  /** @returns whether the result was awaited and is right */
  async #accept(bytes: Buffer, { part, shards }: Offer, signal: AbortSignal | undefined): Promise<boolean> {
    const message = readMessage(bytes, resultSchema);
    if (!message) return false;
    const { worker, name, shard, asks, leaves, seconds = 0 } = message.facts;
    const offered = shard === undefined ? undefined : shards.get(shard);
    if (leaves !== undefined && !this.#refused.has(worker)) this.#workerNotes.say(`${name} takes no part: ${leaves}`);
    const isOpen = offered !== undefined && !offered.results;
    if (isOpen && leaves === undefined && !this.#refused.has(worker)) {
      const results = Object.fromEntries(message.tensors);
      const wrong = whyWrong(results, offered.shapes());
      const known = `${worker}.${part}`;
      if (wrong === undefined && this.#trusted.has(known) && areFinite(results)) offered.results = results;
      else {
        const right = await offered.compute(signal);
        offered.results = right;
        if (wrong !== undefined) this.#refuse(worker, name, wrong);
        else if (isEqual(results, right)) this.#trust(known, name, "");
        else if (this.options.mixedProcessors && isNear(results, right)) this.#trust(known, name, MIXED);
        else this.#refuse(worker, name, ROUNDS_OTHERWISE);
      }
    }
    const refused = this.#refused.get(worker);
    // A worker that was trusted does not ask, but looks for a verdict before each shard.
    if (asks || (refused !== undefined && leaves === undefined)) {
      const place = this.#keys.verdict(worker);
      const verdict = JSON.stringify({ trusted: this.#trusted.has(`${worker}.${part}`), refused });
      await unlessAborted(this.#client.multi().del(place).rpush(place, verdict).expire(place, LIFE).exec(), signal);
    }
    // The worker that leaves had taken the shard.
    if (offered && !offered.results) {
      await unlessAborted(this.#client.rpush(this.#keys.shards, offered.bytes), signal);
    }
    const isTaken = isOpen && offered.results !== undefined;
    if (isTaken && refused === undefined) {
      const values = this.#stored.get(this.#keys.values)?.length ?? 0;
      this.shares.add(name, { seconds, bytes: offered.bytes.length + bytes.length, values });
    }
    return isTaken;
  }

  #trust(known: string, name: string, how: string): void {
    const isNew = ![...this.#trusted].some((each) => each.startsWith(known.slice(0, 32)));
    this.#trusted.add(known);
    if (isNew) this.#workerNotes.say(`${name} takes part${how}`);
  }

  #refuse(worker: string, name: string, why: string): void {
    this.#refused.set(worker, why);
    this.#workerNotes.say(`${name} is refused: ${why}`);
  }
}

const LARGE = `more than 4 million parameters train: the adapter will be the same with any workers, but not bit-identical to that of a run without ${opt("queue")}`;
const ROUNDS_OTHERWISE = `its results are not bit-identical to this machine's; use processors that round alike and the same number of ${opt("threads")}, or ${opt("mixedProcessors")}`;
const MIXED = ", and rounds differently from this machine: the adapter is not bit-identical to that of one machine";
