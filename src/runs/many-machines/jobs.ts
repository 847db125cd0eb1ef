import type { Tensors } from "../../graph/tensor.ts";
import { advance, advancedShapes, type ReplicaSteps } from "../../training/local-steps/replica.ts";
import type { MicroBatch, ModelRun } from "../../training/model-run.ts";
import type { TrainingStep } from "../../training/step.ts";
import type { StepPart } from "../../training/step-part.ts";
import type { REPLICA } from "./protocol.ts";
import type { Results } from "./results.ts";
import { replicaBytes, shardBytes } from "./shard.ts";

/** Work for one worker. */
export interface Job {
  /** Name of the job in messages. */
  shard: string;
  bytes: Buffer;
  /** Shapes of the results. */
  shapes(): ReadonlyMap<string, readonly number[]>;
  /** Computes the results on this machine. @throws the signal's reason, between two steps */
  compute(signal?: AbortSignal): Promise<Results>;
}

/** Properties that the jobs of one kind and one step share. */
export interface JobKind {
  state: number;
  step: number;
  part: StepPart | typeof REPLICA;
}

/** Job for a micro-batch of a step. `own` is the same graph, compiled on this machine. */
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

/** Job for a replica's steps. @param own the same step, compiled on this machine */
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
