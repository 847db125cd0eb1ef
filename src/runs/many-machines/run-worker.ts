import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Redis } from "ioredis";
import type { z } from "zod";
import { UserError } from "../../errors.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import { findBase } from "./base-files.ts";
import { messageBytes, parsedJson, readMessage } from "./message.ts";
import { jobSchema, keysOf, LIFE, orderSchema, RUN_ID, RUNS, type RunOrder, verdictSchema } from "./protocol.ts";
import { ServedRun } from "./served-run.ts";
import { connectAgain, line } from "./server.ts";

/** Seconds that one blocking read waits for a shard, and for a verdict. */
const SHARD_WAIT = 1;
const VERDICT_WAIT = 30;
/** Reads without a shard after which the worker joins another run that has waiting shards. */
const IDLE = 5;

export interface RunWorkerOptions {
  /** Folder for base models from other machines. */
  directory: string;
  /** Options for computing on this machine. */
  compute: Readonly<Record<string, unknown>>;
  /** Aborting ends the work after the current shard. */
  signal: AbortSignal;
  /** Called after each computed shard. */
  onShard?: (() => void) | undefined;
  onNote?: ((note: string) => void) | undefined;
}

/** Computes shards of the runs on a server, one run at a time. */
export class RunWorker {
  readonly #id = randomBytes(16).toString("hex");
  readonly #name = `${hostname()}:${process.pid}`;
  /** Connection for blocking reads. */
  readonly #waiting: Redis;
  /** Runs that this worker has left. */
  readonly #left = new Set<string>();
  /** Shard in progress. */
  #atHand: string | undefined;

  constructor(
    private readonly client: Redis,
    private readonly options: RunWorkerOptions,
  ) {
    this.#waiting = connectAgain(client);
    // A blocking read ends at once. A shard in progress is handed in.
    options.signal.addEventListener("abort", () => this.#waiting.disconnect(), { once: true });
  }

  /** Picks a run that wants workers at random, among those with waiting shards if there are any. */
  async find(): Promise<string | undefined> {
    const found = await this.#runs();
    const waiting = found.filter(({ shards }) => shards > 0);
    const among = waiting.length > 0 ? waiting : found;
    return among[Math.floor(Math.random() * among.length)]?.id;
  }

  /** Runs on the server, with their number of waiting shards. */
  async #runs(): Promise<{ id: string; shards: number }[]> {
    const runs: { id: string; shards: number }[] = [];
    for (const id of await this.client.smembers(RUNS)) {
      if (!RUN_ID.test(id) || this.#left.has(id)) continue;
      const keys = keysOf(id);
      if (await this.client.exists(keys.order)) runs.push({ id, shards: await this.client.llen(keys.shards) });
      else await this.client.srem(RUNS, id);
    }
    return runs;
  }

  /**
   * Works on a run until it ends, or until another run needs this machine more. A run that this machine cannot compute is left to
   * others, with a note on both machines.
   */
  async serve(id: string): Promise<void> {
    const { signal, onNote } = this.options;
    let run: ServedRun | undefined;
    try {
      const order = await this.#orderOf(id);
      if (!order) return;
      onNote?.(`run ${id.slice(0, 12)}: ${line.parse(`${order.adapter.task.kind} on ${order.adapter.model}`)}`);
      run = await this.#open(id, order);
      await this.#takeShards(id, run);
      onNote?.(`run ${id.slice(0, 12)}: no more shards`);
    } catch (error) {
      if (signal.aborted) return;
      this.#left.add(id);
      const leaves = (error as Error).message;
      onNote?.(`run ${id.slice(0, 12)}: left to others: ${leaves}`);
      await this.#handIn(id, { leaves, shard: this.#atHand });
    } finally {
      await run?.release();
    }
  }

  async #orderOf(id: string): Promise<RunOrder | undefined> {
    const text = await this.client.get(keysOf(id).order);
    if (text === null) return undefined;
    const read = orderSchema.safeParse(parsedJson(text));
    if (read.success) return read.data;
    throw new UserError(
      `its order is malformed (${read.error.issues[0]!.path.join(".") || "all of it"}); use the same version of aflora on both machines`,
    );
  }

  async #open(id: string, order: RunOrder): Promise<ServedRun> {
    const { directory, compute, signal } = this.options;
    const where = { directory, signal, worker: this.#id, waiting: this.#waiting, client: this.client };
    const place = await findBase(id, order, where);
    const runtime = runtimeFor({ threads: order.threads, ...compute });
    return ServedRun.open(id, this.client, order, { place, runtime, offline: compute.offline === true });
  }

  /** @throws UserError if the coordinator refuses this worker */
  async #takeShards(id: string, run: ServedRun): Promise<void> {
    const { signal } = this.options;
    const keys = keysOf(id);
    const trusted = new Set<string>();
    let idle = 0;
    let done = { step: -1, shards: new Set<string>() };
    while (!signal.aborted) {
      // A verdict comes first: a worker that is refused takes no more shards.
      const [from, bytes] = (await this.#waiting.blpopBuffer(keys.verdict(this.#id), keys.shards, SHARD_WAIT)) ?? [];
      if (from?.toString() === keys.verdict(this.#id)) {
        refuseIfRefused(verdictOf(bytes!.toString()));
        continue;
      }
      if (!bytes) {
        const others = (await this.#runs()).filter((run) => run.id !== id);
        const isNeeded = ++idle >= IDLE && others.some(({ shards }) => shards > 0);
        if (isNeeded || !(await this.client.exists(keys.order))) return;
        continue;
      }
      idle = 0;
      const message = readMessage(bytes, jobSchema);
      if (!message) throw new UserError("a shard of it is malformed");
      const { shard, part, step } = message.facts;
      if (done.step !== step) done = { step, shards: new Set() };
      // The coordinator offered the shard again, because it was slow.
      if (done.shards.has(shard)) continue;
      this.#atHand = shard;
      const computed = await run.compute(message.facts, message.tensors);
      this.#atHand = undefined;
      if (!computed) continue;
      done.shards.add(shard);
      this.options.onShard?.();
      const asks = !trusted.has(part);
      const { results, seconds } = computed;
      await this.#handIn(id, { shard, seconds, asks }, results);
      if (!asks) continue;
      const text = (await this.#waiting.blpop(keys.verdict(this.#id), VERDICT_WAIT))?.[1];
      const verdict = text === undefined ? undefined : verdictOf(text);
      refuseIfRefused(verdict);
      if (verdict?.trusted) trusted.add(part);
    }
  }

  async #handIn(id: string, facts: object, results: Record<string, Tensor> = {}): Promise<void> {
    const { results: place } = keysOf(id);
    const said = messageBytes({ worker: this.#id, name: this.#name, ...facts }, new Map(Object.entries(results)));
    await this.client.multi().rpush(place, said).expire(place, LIFE).exec();
  }
}

type Verdict = z.output<typeof verdictSchema>;

const verdictOf = (text: string): Verdict | undefined => verdictSchema.safeParse(parsedJson(text)).data;

/** @throws UserError if the coordinator refuses this worker, with its reason */
function refuseIfRefused(verdict: Verdict | undefined): void {
  if (verdict?.refused !== undefined) throw new UserError(verdict.refused);
}
