import type { Redis } from "ioredis";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import { isDeep } from "../../files/json.ts";
import { parsedJson } from "../../runs/many-machines/message.ts";
import { answers, connect, line, unlessFull } from "../../runs/many-machines/server.ts";

/** Trials by id, those that wait, and the times (in milliseconds) until which workers have the others. */
const TRIALS = "aflora:trials";
const WAITING = "aflora:waiting";
const LEASES = "aflora:leases";
const FENCE = "aflora:fence:";
const RESULT = "aflora:result:";
const ENDS = "aflora:ends";
const PROGRESS = "aflora:progress";

const WORKER = "aflora-work";

/** Seconds for which the server keeps a fence after the last trial took it. No worker is later than that. */
const FENCE_SECONDS = 30 * 24 * 3600;

const options = z.record(z.string(), z.unknown());
const trialSchema = z.object({
  /** Also the name of a folder. */
  id: z.string().regex(/^[0-9a-f]{12}$/),
  label: line,
  identity: z.object({ options, data: z.string(), model: z.string() }),
  config: options,
  stopAfter: z.number().positive().optional(),
  reported: z
    .object({ ownSplits: z.literal(true), validation: z.string(), generate: z.int().positive() })
    .partial()
    .refine((reported) => Object.keys(reported).length > 0)
    .optional(),
});
export type QueuedTrial = z.output<typeof trialSchema>;

export function parseQueuedTrial(data: unknown): QueuedTrial {
  const parsed = trialSchema.safeParse(isDeep(data) ? undefined : data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UserError(
    `the queue holds something that is not a trial: its ${issue!.path.join(".") || "data"} is malformed`,
  );
}

/** How a trial ended on a worker. The run itself has its own key. */
const endSchema = z.union([
  z.object({ end: z.literal("finished") }),
  z.object({ end: z.literal("paused"), epochs: z.number() }),
  z.object({ end: z.literal("failed"), reason: line }),
]);
export type QueuedEnd = z.output<typeof endSchema>;

const progressSchema = z.object({
  worker: line,
  label: line,
  step: z.number(),
  totalSteps: z.number(),
  at: z.number(),
});
/** Progress of a worker's trial. `at` is the time of the report, in milliseconds. */
export type QueuedProgress = z.output<typeof progressSchema>;

const ADD = `
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end`;

/** The server's clock counts, because those of workers differ. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

// A full server refuses to add, but not to remove, so each script adds first.

/** Returns the trials of lost workers to the queue, then takes the first. */
const TAKE = `${NOW}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now)) do
  redis.call('LPUSH', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
local id = redis.call('LINDEX', KEYS[2], 0)
if not id then return nil end
redis.call('ZADD', KEYS[3], now + ARGV[1], id)
redis.call('LREM', KEYS[2], 0, id)
return {id, redis.call('HGET', KEYS[1], id)}`;

/** Ends here if another worker has taken the trial since the token was given. */
const IF_CURRENT = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end`;

const RENEW = `${IF_CURRENT}${NOW}
return redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[2])`;

const GIVE_BACK = `${IF_CURRENT}
if redis.call('ZSCORE', KEYS[2], ARGV[2]) then redis.call('LPUSH', KEYS[3], ARGV[2]) end
return redis.call('ZREM', KEYS[2], ARGV[2])`;

const REMOVE = `
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('LREM', KEYS[3], 0, ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
return 1`;

const ACCEPT = `${IF_CURRENT}
if ARGV[4] ~= '' then redis.call('SET', KEYS[7], ARGV[4]) end
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[6], ARGV[2])${REMOVE}`;

/** A trial that a worker has until its lease ends. */
export interface Lease {
  id: string;
  /** Higher than all before. Results with lower tokens are refused. */
  token: string;
  data: unknown;
}

export class TrialQueue {
  private constructor(
    readonly client: Redis,
    /** Address of the server without its password, for messages. */
    readonly address: string,
  ) {}

  /**
   * Opens the queue.
   * @param url `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS
   * @param isWorker whether this process counts as a worker
   */
  static async open(url: string, isWorker = false, onNote?: (note: string) => void): Promise<TrialQueue> {
    const { client, address } = await connect(url, onNote, isWorker ? WORKER : undefined);
    return new TrialQueue(client, address);
  }

  close(): void {
    this.client.disconnect();
  }

  answers(): Promise<boolean> {
    return answers(this.client);
  }

  /** Adds a trial to the queue unless it is on it. @throws UserError if the server is full */
  async add(trial: QueuedTrial): Promise<void> {
    await unlessFull(this.address, () => this.client.eval(ADD, 2, TRIALS, WAITING, trial.id, JSON.stringify(trial)));
  }

  async has({ id }: Pick<QueuedTrial, "id">): Promise<boolean> {
    return (await this.client.hexists(TRIALS, id)) === 1;
  }

  /** Takes a waiting trial, or one of a lost worker. @param seconds until the lease ends, unless it is renewed */
  async take(seconds: number): Promise<Lease | undefined> {
    const keys = [TRIALS, WAITING, LEASES];
    const taken = (await this.client.eval(TAKE, keys.length, ...keys, 1000 * seconds)) as [string, string] | null;
    if (!taken) return undefined;
    const [id, text] = taken;
    return { id, token: await this.takeFence(id), data: parsedJson(text) };
  }

  async renew({ id, token }: Omit<Lease, "data">, seconds: number): Promise<void> {
    await this.client.eval(RENEW, 2, FENCE + id, LEASES, token, id, 1000 * seconds);
  }

  async giveBack({ id, token }: Omit<Lease, "data">): Promise<void> {
    await this.client.eval(GIVE_BACK, 3, FENCE + id, LEASES, WAITING, token, id);
  }

  async remove({ id, token }: Omit<Lease, "data">): Promise<void> {
    await this.client.eval(IF_CURRENT + REMOVE, 4, FENCE + id, LEASES, WAITING, TRIALS, token, id);
  }

  async ends(): Promise<Map<string, QueuedEnd>> {
    return readHash(await this.client.hgetall(ENDS), endSchema);
  }

  async progress(): Promise<Map<string, QueuedProgress>> {
    return readHash(await this.client.hgetall(PROGRESS), progressSchema);
  }

  async reportProgress(id: string, progress: QueuedProgress): Promise<void> {
    await this.client.hset(PROGRESS, id, JSON.stringify(progress));
  }

  async workers(): Promise<number> {
    const connections = String(await this.client.client("LIST")).split("\n");
    return connections.filter((connection) => connection.includes(` name=${WORKER} `)).length;
  }

  async counts(): Promise<{ waiting: number; active: number }> {
    return { waiting: await this.client.llen(WAITING), active: await this.client.zcard(LEASES) };
  }

  /** Returns a token that is higher than all before. Results with lower tokens are refused from now on. */
  async takeFence(id: string): Promise<string> {
    const token = await this.client.incr(FENCE + id);
    await this.client.expire(FENCE + id, FENCE_SECONDS);
    return String(token);
  }

  /** Hands in a trial's result. @returns false if another worker has taken the trial since */
  async accept(id: string, token: string, end: QueuedEnd, packed?: Buffer): Promise<boolean> {
    const keys = [FENCE + id, LEASES, WAITING, TRIALS, ENDS, PROGRESS, RESULT + id];
    const taken = await unlessFull(this.address, () =>
      this.client.eval(ACCEPT, keys.length, ...keys, token, id, JSON.stringify(end), packed ?? ""),
    );
    return taken === 1;
  }

  async result(id: string): Promise<Buffer | undefined> {
    return (await this.client.getBuffer(RESULT + id)) ?? undefined;
  }

  /** Whether no other worker has taken the trial since the token was given. */
  async isCurrent(id: string, token: string): Promise<boolean> {
    return (await this.client.get(FENCE + id)) === token;
  }

  /** Stores an unfinished run for the next worker. With `replace: false`, keeps a run that is stored already. */
  async putResult(id: string, packed: Buffer, { replace = true } = {}): Promise<void> {
    await unlessFull(this.address, () =>
      replace ? this.client.set(RESULT + id, packed) : this.client.set(RESULT + id, packed, "NX"),
    );
  }

  async forget(id: string, { keepRun = false } = {}): Promise<void> {
    await this.client.hdel(ENDS, id);
    await this.client.hdel(PROGRESS, id);
    if (!keepRun) await this.client.del(RESULT + id);
  }
}

/** Valid values of a hash. Others belong to another program. */
function readHash<Schema extends z.ZodType>(
  hash: Readonly<Record<string, string>>,
  schema: Schema,
): Map<string, z.output<Schema>> {
  return new Map(
    Object.entries(hash).flatMap(([key, text]) => {
      const { success, data } = schema.safeParse(parsedJson(text));
      return success ? [[key, data] as const] : [];
    }),
  );
}
