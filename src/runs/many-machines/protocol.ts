import { z } from "zod";
import { adapterSchema } from "../../base-models/adapter.ts";
import { STEP_PARTS } from "../../training/step-part.ts";
import { line } from "./server.ts";

/** Set of the runs on a server that want workers. */
export const RUNS = "aflora:runs";
/** Seconds for which a server keeps a run's keys after the coordinator's last sign of life. */
export const LIFE = 60;
/** Size of a piece of a base model's file, in bytes. */
export const PIECE = 4 * 2 ** 20;

/** Keys of a run on its server. @param id 32 hexadecimal digits */
export function keysOf(id: string) {
  const of = (what: string): string => `aflora:run:${id}:${what}`;
  return {
    order: of("order"),
    /** Trainable parameters of a compiled step, with their values at that time. */
    state: (state: number): string => of(`state:${state}`),
    /** Values at the current step that differ from the state's. */
    values: of("values"),
    /** Shards that no worker has taken. */
    shards: of("shards"),
    results: of("results"),
    /** The coordinator's verdict on a worker's first results. */
    verdict: (worker: string): string => of(`verdict:${worker}`),
    /** Requests of workers for pieces of the base model's files. */
    wanted: of("wanted"),
    pieces: (worker: string): string => of(`pieces:${worker}`),
  };
}

export const RUN_ID = /^[0-9a-f]{32}$/;
const id = z.string().regex(RUN_ID);
const count = z.int().nonnegative();

/** File name within a model folder; cannot leave the folder. */
const fileName = z.string().regex(/^(?:\w[\w.-]*\/)?\w[\w.-]*$/);

/** Description of a run for workers: a model, a method and numbers, without code or paths. */
export const orderSchema = z.object({
  /** The base model, how it is adapted, and the task. */
  adapter: adapterSchema,
  /** Files of a base model that is not on the hub. */
  files: z.record(fileName, z.object({ size: count, sha256: z.string() })).optional(),
  /** Whether texts of the same class attract each other (contrastive loss), instead of the task's own loss. */
  contrastive: z.boolean(),
  dropout: z.boolean(),
  recompute: z.boolean().optional(),
  /** Maximum number of tokens of a micro-batch. */
  tokenBudget: z.int().positive(),
  /** Seed of the dropout masks. */
  seed: count,
  /** Number of threads of the coordinator: the last bits of a result can depend on it. */
  threads: z.int().positive(),
});
export type RunOrder = z.output<typeof orderSchema>;

/** Trainable parameters, with their values as tensors. */
export const stateSchema = z.object({
  trainable: z.array(z.string()).optional(),
  /** Names of the trained weights of the head. */
  trainedHead: z.array(z.string()),
  frozenBlocks: z.object({ count, parameters: z.array(z.string()) }).optional(),
});

/** Step of the values. */
export const valuesSchema = z.object({ state: count, step: count });

// JSON has lists, and no typed arrays.
const ints = z.array(z.int()).transform((list) => Int32Array.from(list));
const floats = z.array(z.number()).transform((list) => Float32Array.from(list));
const encoding = z.object({ inputIds: ints, tokenTypeIds: ints });
const readText = z.object({ encoding, decoder: encoding.exactOptional(), rows: ints.exactOptional() });
const example = readText.extend({ index: count });
const job = z.object({ shard: z.string(), state: count, step: count });

/** A micro-batch, with its inputs as tensors. */
export const shardSchema = job.extend({ part: z.enum(STEP_PARTS), examples: z.array(example).min(1) });
export type Shard = z.output<typeof shardSchema>;

/** Name of a replica's steps, beside the parts of a step. */
export const REPLICA = "replica";

const shape = z.array(count);
const trainingExample = example.extend({
  texts: z.array(readText).exactOptional(),
  targets: z.discriminatedUnion("dtype", [
    z.object({ dtype: z.literal("float32"), shape, data: floats }),
    z.object({ dtype: z.literal("int32"), shape, data: ints }),
  ]),
  weights: floats,
});
/** A replica's steps. */
export const replicaSchema = job.extend({
  part: z.literal(REPLICA),
  batches: z.array(z.array(trainingExample)).min(1),
  factors: z.array(z.number()),
  groups: z.array(z.object({ names: z.array(z.string()), learningRate: z.number(), weightDecay: z.number() })),
  returnsGradients: z.boolean(),
});
export type ReplicaShard = z.output<typeof replicaSchema>;

/** Any job for a worker. */
export const jobSchema = z.discriminatedUnion("part", [shardSchema, replicaSchema]);

/** A worker's answer: the results of a shard as tensors, or that the worker leaves. */
export const resultSchema = z.object({
  worker: id,
  /** Machine and process of the worker, for messages to the user. */
  name: line,
  shard: z.string().optional(),
  /** Seconds that the worker computed. */
  seconds: z.number().nonnegative().optional(),
  /** Whether the worker waits for the verdict before it continues. */
  asks: z.boolean().optional(),
  /** Why the worker leaves the run. */
  leaves: line.optional(),
});

/** The coordinator's verdict: whether the worker is trusted from now on, or why its results are refused. */
export const verdictSchema = z.object({ trusted: z.boolean(), refused: line.optional() });

/** A piece of a file that begins at byte `start`, and a worker's request for it. */
export const pieceSchema = z.object({ file: fileName, start: count });
export const wantedSchema = pieceSchema.extend({ worker: id });
