import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import { isDeep } from "../../files/json.ts";
import { answers, connect, line, loadBullmq, unlessFull } from "../../runs/many-machines/server.ts";

/** Name of the queue on its server, and prefixes of its other keys. */
export const QUEUE = "aflora";
const FENCE = "aflora:fence:";
const RESULT = "aflora:result:";
const ENDS = "aflora:ends";
const PROGRESS = "aflora:progress";

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
/** A trial on the queue. */
export type QueuedTrial = z.output<typeof trialSchema>;

/** @throws UserError if the data on the queue is no trial */
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

/** Writes a result if the fence is still the writer's, so no other worker has taken the trial since. */
const ACCEPT = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4]) end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[2])
return 1`;

/** Trials on a server that speaks Redis's protocol: waiting, running and ended. */
export class TrialQueue {
  readonly #queue: Queue;
  readonly #client: Redis;
  /** Address of the server without its password, for messages. */
  readonly address: string;

  private constructor(queue: Queue, client: Redis, address: string) {
    this.#queue = queue;
    this.#client = client;
    this.address = address;
  }

  /**
   * Opens the queue.
   * @param url `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS
   * @throws UserError if the address is invalid, no server answers, the server is of another kind, or it may evict keys
   */
  static async open(url: string): Promise<TrialQueue> {
    const { client, address } = await connect(url);
    const { Queue } = await loadBullmq();
    const queue = new Queue(QUEUE, { connection: client });
    queue.on("error", () => {});
    return new TrialQueue(queue, client, address);
  }

  async close(): Promise<void> {
    await this.#queue.close();
    this.#client.disconnect();
  }

  /** Whether the server answers now. */
  async answers(): Promise<boolean> {
    return answers(this.#client);
  }

  /** Adds a trial to the queue unless it is on it. @throws UserError if the server is full */
  async add(trial: QueuedTrial): Promise<void> {
    const jobId = jobIdOf(trial);
    await unlessFull(this.address, () =>
      this.#queue.add("trial", trial, { jobId, removeOnComplete: true, removeOnFail: true, attempts: 1 }),
    );
  }

  async has(trial: QueuedTrial): Promise<boolean> {
    return (await this.#queue.getJob(jobIdOf(trial))) !== undefined;
  }

  /** Ends of trials, by id. */
  async ends(): Promise<Map<string, QueuedEnd>> {
    return readHash(await this.#client.hgetall(ENDS), endSchema);
  }

  async progress(): Promise<Map<string, QueuedProgress>> {
    return readHash(await this.#client.hgetall(PROGRESS), progressSchema);
  }

  async reportProgress(id: string, progress: QueuedProgress): Promise<void> {
    await this.#client.hset(PROGRESS, id, JSON.stringify(progress));
  }

  /** Number of workers that wait for trials or run one, on all machines. */
  async workers(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  /** Numbers of waiting and running jobs. */
  async counts(): Promise<{ waiting: number; active: number }> {
    const counts = await this.#queue.getJobCounts("wait", "prioritized", "delayed", "active");
    const { wait = 0, prioritized = 0, delayed = 0, active = 0 } = counts;
    return { waiting: wait + prioritized + delayed, active };
  }

  /** Returns a token that is higher than all before. Results with lower tokens are refused from now on. */
  async takeFence(id: string): Promise<string> {
    const token = await this.#client.incr(FENCE + id);
    await this.#client.expire(FENCE + id, FENCE_SECONDS);
    return String(token);
  }

  /**
   * Hands in a trial's result.
   * @returns false if another worker has taken the trial since
   * @throws UserError if the server is full
   */
  async accept(id: string, token: string, end: QueuedEnd, packed?: Buffer): Promise<boolean> {
    const keys = [FENCE + id, RESULT + id, ENDS, PROGRESS];
    const taken = await unlessFull(this.address, () =>
      this.#client.eval(ACCEPT, keys.length, ...keys, token, id, JSON.stringify(end), packed ?? ""),
    );
    return taken === 1;
  }

  /** The packed run of a trial; undefined if there is none. */
  async result(id: string): Promise<Buffer | undefined> {
    return (await this.#client.getBuffer(RESULT + id)) ?? undefined;
  }

  /** Whether no other worker has taken the trial since the token was given. */
  async isCurrent(id: string, token: string): Promise<boolean> {
    return (await this.#client.get(FENCE + id)) === token;
  }

  /** Stores an unfinished run for the next worker. With `replace: false`, keeps a run that is stored already. */
  async putResult(id: string, packed: Buffer, { replace = true } = {}): Promise<void> {
    await unlessFull(this.address, () =>
      replace ? this.#client.set(RESULT + id, packed) : this.#client.set(RESULT + id, packed, "NX"),
    );
  }

  /** Forgets a trial's end. With `keepRun`, keeps its run for the next worker. */
  async forget(id: string, { keepRun = false } = {}): Promise<void> {
    await this.#client.hdel(ENDS, id);
    await this.#client.hdel(PROGRESS, id);
    if (!keepRun) await this.#client.del(RESULT + id);
  }
}

/** One job for each trial and rung, so duplicates are added once. BullMQ refuses names that are numbers, as some ids are. */
const jobIdOf = ({ id, stopAfter }: QueuedTrial): string => `trial-${id}-${stopAfter ?? "end"}`;

/** Valid values of a hash. Others belong to another program. */
function readHash<Schema extends z.ZodType>(
  hash: Readonly<Record<string, string>>,
  schema: Schema,
): Map<string, z.output<Schema>> {
  return new Map(
    Object.entries(hash).flatMap(([key, text]) => {
      try {
        return [[key, schema.parse(JSON.parse(text))] as const];
      } catch {
        return [];
      }
    }),
  );
}
