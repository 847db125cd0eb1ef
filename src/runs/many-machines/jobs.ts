import type { Tensors } from "../../graph/tensor.ts";
import { advance, advancedShapes, type ReplicaSteps } from "../../training/local-steps/replica.ts";
import type { MicroBatch, ModelRun } from "../../training/model-run.ts";
import type { TrainingStep } from "../../training/step.ts";
import type { StepPart } from "../../training/step-part.ts";
import type { REPLICA } from "./protocol.ts";
import type { Results } from "./results.ts";
import { replicaBytes, shardBytes } from "./shard.ts";

/** What a worker is to compute. */
export interface Job {
  /** Its name in messages. */
  shard: string;
  bytes: Buffer;
  /** Of its results. */
  shapes(): ReadonlyMap<string, readonly number[]>;
  /** The same on this machine. @throws the signal's reason, between two steps */
  compute(signal?: AbortSignal): Promise<Results>;
}

/** What jobs of one kind and one step have in common. */
export interface JobKind {
  state: number;
  step: number;
  part: StepPart | typeof REPLICA;
}

/** A micro-batch of a step, whose graph is compiled here as `own`. */
export function microBatchJob(of: JobKind & { part: StepPart }, i: number, microBatch: MicroBatch, own: ModelRun): Job {
  const shard = nameOf(of, i);
  const { examples, inputs } = microBatch;
  return {
    shard,
    bytes: shardBytes({ shard, ...of }, microBatch),
    shapes: () => own.expected(examples).shapes,
    compute: async () => (await own.run(of.step, examples, inputs)).results,
  };
}

/** A replica's steps. @param own the same step, compiled here */
export function replicaJob(
  of: JobKind & { part: typeof REPLICA },
  i: number,
  replica: ReplicaSteps,
  { own, weights }: { own: TrainingStep; weights: Tensors },
): Job {
  const shard = nameOf(of, i);
  return {
    shard,
    bytes: replicaBytes({ shard, ...of }, replica),
    shapes: () => advancedShapes(own, replica),
    compute: (signal) => advance(own, weights, replica, signal),
  };
}

const nameOf = ({ state, step, part }: JobKind, i: number): string => `${state}.${step}.${part}.${i}`;
