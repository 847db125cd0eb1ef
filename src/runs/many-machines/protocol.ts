import { z } from "zod";
import { adapterSchema } from "../../model/adapter.ts";
import { STEP_PARTS } from "../../training/step-part.ts";
import { line } from "./server.ts";

/** Set of the runs on a server that want workers. */
export const RUNS = "aflora:runs";
/** Seconds that what a run has on its server outlives the last word of its coordinator. */
export const LIFE = 60;
/** Bytes of a base model's file that are sent at once. */
export const PIECE = 4 * 2 ** 20;

/** The keys of a run on its server. @param id of 32 hexadecimal digits */
export function keysOf(id: string) {
  const of = (what: string): string => `aflora:run:${id}:${what}`;
  return {
    /** What a worker must know of it. */
    order: of("order"),
    /** What trains, of a compiled step, with all its values then. */
    state: (state: number): string => of(`state:${state}`),
    /** Values at the step at hand that are others than the state's. */
    values: of("values"),
    /** Shards that nobody has taken. */
    shards: of("shards"),
    /** What workers hand in. */
    results: of("results"),
    /** What the coordinator makes of a worker's first results. */
    verdict: (worker: string): string => of(`verdict:${worker}`),
    /** Pieces of the base model's files that workers ask for. */
    wanted: of("wanted"),
    /** Those that a worker gets. */
    pieces: (worker: string): string => of(`pieces:${worker}`),
  };
}

export const RUN_ID = /^[0-9a-f]{32}$/;
const id = z.string().regex(RUN_ID);
const count = z.int().nonnegative();

/** A name within a model's folder, and no way out of it. */
const fileName = z.string().regex(/^(?:\w[\w.-]*\/)?\w[\w.-]*$/);

/** A run as workers need it: a model, a method and numbers, no code and no path. */
export const orderSchema = z.object({
  /** What is trained on what: the base model, how it is adapted, and the task. */
  adapter: adapterSchema,
  /** Of a base model that is not on the hub: its files. */
  files: z.record(fileName, z.object({ size: count, sha256: z.string() })).optional(),
  /** Whether texts of a class are drawn together, rather than the task's own loss taken. */
  contrastive: z.boolean(),
  dropout: z.boolean(),
  recompute: z.boolean().optional(),
  /** Most tokens of a micro-batch. */
  tokenBudget: z.int().positive(),
  /** Of the dropout masks. */
  seed: count,
  /** Threads of the coordinator: results may hang on their number. */
  threads: z.int().positive(),
});
export type RunOrder = z.output<typeof orderSchema>;

/** What trains, with its values as tensors. */
export const stateSchema = z.object({
  trainable: z.array(z.string()).optional(),
  /** Names of the head's weights that train. */
  trainedHead: z.array(z.string()),
  frozenBlocks: z.object({ count, parameters: z.array(z.string()) }).optional(),
});

/** Which step the values are of. */
export const valuesSchema = z.object({ state: count, step: count });

const encoding = z.object({ inputIds: z.array(count), tokenTypeIds: z.array(count) });
const readText = z.object({ encoding, decoder: encoding.optional(), rows: z.array(count).optional() });
const example = readText.extend({ index: count });
const job = z.object({ shard: z.string(), state: count, step: count });

/** A micro-batch, with its inputs as tensors. */
export const shardSchema = job.extend({ part: z.enum(STEP_PARTS), examples: z.array(example).min(1) });
export type Shard = z.output<typeof shardSchema>;

/** What a replica's steps are called beside the parts of a step. */
export const REPLICA = "replica";

const numbers = z.array(z.number());
const trainingExample = example.extend({
  texts: z.array(readText).optional(),
  targets: z.object({ dtype: z.enum(["float32", "int32"]), shape: z.array(count), data: numbers }),
  weights: numbers,
});
/** A replica's steps. */
export const replicaSchema = job.extend({
  part: z.literal(REPLICA),
  batches: z.array(z.array(trainingExample)).min(1),
  factors: numbers,
  groups: z.array(z.object({ names: z.array(z.string()), learningRate: z.number(), weightDecay: z.number() })),
  returnsGradients: z.boolean(),
});
export type ReplicaShard = z.output<typeof replicaSchema>;

/** Whatever a worker takes. */
export const jobSchema = z.discriminatedUnion("part", [shardSchema, replicaSchema]);

/** What a worker hands in: a shard's results as tensors, or that it takes no part. */
export const resultSchema = z.object({
  worker: id,
  /** Its machine and process, for a person. */
  name: line,
  shard: z.string().optional(),
  /** That computing the shard took. */
  seconds: z.number().nonnegative().optional(),
  /** Whether it waits for the verdict before it goes on. */
  asks: z.boolean().optional(),
  /** Why it takes no part. */
  leaves: line.optional(),
});

/** What the coordinator says of a worker's results: whether it need not ask any more, or why they are not taken. */
export const verdictSchema = z.object({ trusted: z.boolean(), refused: line.optional() });

/** A piece of a file, from a byte on. */
export const wantedSchema = z.object({ worker: id, file: fileName, start: count });
