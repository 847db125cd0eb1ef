import { elementsOf, type Tensor, type Tensors } from "../graph/tensor.ts";
import { messageBytes } from "../runs/many-machines/message.ts";
import { REPLICA } from "../runs/many-machines/protocol.ts";
import { replicaBytes, shardBytes } from "../runs/many-machines/shard.ts";
import { advance, type ReplicaSteps } from "../training/local-steps/replica.ts";
import type { MicroBatch, MicroBatchRunner, ModelOutcome, ModelRun } from "../training/model-run.ts";
import type { OtherMachines, ReplicaRunner } from "../training/other-machines.ts";
import type { TrainingStep } from "../training/step.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import type { StepPart } from "../training/step-part.ts";
import { median } from "./statistics.ts";

/** A micro-batch as a shard for workers: its seconds on this machine, and the bytes sent and returned. */
export interface TimedShard {
  seconds: number;
  sent: number;
  returned: number;
}

/** Parts of a step that workers can compute, and the remainder. */
export interface TimedStepParts {
  /** Seconds of the coordinator's own work: messages, sums, the update. */
  own: number;
  /** Bytes of the trainable parameters, which each worker fetches once. */
  values: number;
  /** Shards of each graph. A graph's shards wait for all of the graph before. */
  parts: TimedShard[][];
}

/** Times the micro-batches of steps on this machine, with the sizes of the messages that would carry them. */
export class ShardTimes implements OtherMachines {
  readonly steps: TimedStepParts[] = [];
  #at: TimedStepParts = { own: 0, values: 0, parts: [] };
  /** Number of steps in the current round. */
  #of = 1;
  #ended = 0;

  share(): (part: StepPart, own: ModelRun) => MicroBatchRunner {
    return (part, own) => ({ outcomes: (step, microBatches) => this.#outcomes({ step, part, own }, microBatches) });
  }

  shareReplicas(_model: AdaptedModel, weights: Tensors, own: TrainingStep): ReplicaRunner {
    return (replicas, signal) => this.#replicas(replicas, own, weights, signal);
  }

  /** Ends a step. @param seconds of the step @returns the part of them that a single machine needs */
  ended(seconds: number): number {
    const { own: messages, values, parts } = this.#at;
    // Each step of a round gets an equal share.
    const share = (shard: TimedShard): TimedShard => ({
      seconds: shard.seconds / this.#of,
      sent: shard.sent / this.#of,
      returned: shard.returned / this.#of,
    });
    const shared = { values: values / this.#of, parts: parts.map((shards) => shards.map(share)) };
    const computing = shared.parts.flat().reduce((sum, shard) => sum + shard.seconds, 0);
    this.steps.push({ ...shared, own: Math.max(0, seconds - computing) });
    const alone = seconds - messages / this.#of;
    if (++this.#ended === this.#of) {
      this.#at = { own: 0, values: 0, parts: [] };
      [this.#of, this.#ended] = [1, 0];
    }
    return alone;
  }

  async *#replicas(
    replicas: readonly ReplicaSteps[],
    own: TrainingStep,
    weights: Tensors,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Record<string, Tensor>, void> {
    const shards: TimedShard[] = [];
    this.#of = replicas[0]!.batches.length;
    this.#at.values = bytesOf([...own.trained.values()]);
    this.#at.parts.push(shards);
    for (const replica of replicas) {
      const sent = this.#written(() => replicaBytes({ shard: "", state: 0, part: REPLICA }, replica));
      const started = performance.now();
      const results = await advance(own, weights, replica, signal);
      const seconds = (performance.now() - started) / 1000;
      const returned = this.#written(() => messageBytes({}, new Map(Object.entries(results))));
      shards.push({ seconds, sent, returned });
      yield results;
    }
  }

  async *#outcomes(
    { step, part, own }: { step: number; part: StepPart; own: ModelRun },
    microBatches: readonly (() => MicroBatch)[],
  ): AsyncGenerator<ModelOutcome, void> {
    const at = this.#at;
    const shards: TimedShard[] = [];
    at.values = Math.max(at.values, bytesOf(own.gradientShapes.map(([, shape]) => shape)));
    at.parts.push(shards);
    for (const [i, make] of microBatches.entries()) {
      const microBatch = make();
      const { examples, inputs } = microBatch;
      const facts = { shard: `0.${step}.${part}.${i}`, state: 0, step, part };
      const sent = this.#written(() => shardBytes(facts, microBatch));
      const started = performance.now();
      const outcome = await own.run(step, examples, inputs);
      const seconds = (performance.now() - started) / 1000;
      const returned = this.#written(() => messageBytes(facts, new Map(Object.entries(outcome.results))));
      shards.push({ seconds, sent, returned });
      yield outcome;
    }
  }

  /** Encodes a message. @returns its size in bytes */
  #written(write: () => Buffer): number {
    const started = performance.now();
    const { length } = write();
    this.#at.own += (performance.now() - started) / 1000;
    return length;
  }
}

const bytesOf = (shapes: readonly (readonly number[])[]): number =>
  shapes.reduce((sum, shape) => sum + Float32Array.BYTES_PER_ELEMENT * elementsOf(shape), 0);

/** Workers that are each as fast as this machine, and their network. */
export interface Workers {
  workers: number;
  /** Mb/s in each direction between the server, which runs on the coordinator's machine, and all workers together. */
  network: number;
}

/** Seconds of a step with workers. Each fetches the trainable parameters, then takes, computes and returns one shard after another. */
export function secondsWith({ own, values, parts }: TimedStepParts, { workers, network }: Workers): number {
  /** Time until which the server's link is busy, in each direction. */
  const taken = { out: 0, back: 0 };
  const carry = (way: keyof typeof taken, from: number, bytes: number): number => {
    taken[way] = Math.max(taken[way], from) + (8 * bytes) / (1e6 * network);
    return taken[way];
  };
  const knows = new Set<number>();
  let end = 0;
  for (const shards of parts) {
    const waiting = [...shards];
    /** Next action of each worker, and its time. */
    const next = Array.from({ length: workers }, (_, worker) => ({ worker, at: end, returns: 0 }));
    while (next.length > 0) {
      const { worker, at, returns } = next.sort((a, b) => a.at - b.at).shift()!;
      if (returns > 0) {
        end = carry("back", at, returns);
        next.push({ worker, at: end, returns: 0 });
        continue;
      }
      const shard = waiting.shift();
      if (!shard) continue;
      const bytes = shard.sent + (knows.has(worker) ? 0 : values);
      knows.add(worker);
      next.push({ worker, at: carry("out", at, bytes) + shard.seconds, returns: shard.returned });
    }
  }
  return own + end;
}

/** Estimated effect of workers on a step. */
export interface WorkersEstimate extends Workers {
  /** Seconds of a step with workers. */
  step: number;
  /** Speedup over one machine. */
  speedup: number;
  /** Speedup per worker: 1 if no worker ever waits. */
  efficiency: number;
  /** Number of shards of a step. */
  shards: number;
  /** Bytes of trainable parameters that each worker fetches in a step. */
  values: number;
  /** Bytes returned in a step. */
  returned: number;
}

/** @param alone seconds of a step on one machine */
export function estimateWorkers(steps: readonly TimedStepParts[], alone: number, given: Workers): WorkersEstimate {
  const middle = (of: (step: TimedStepParts) => number): number => median(steps.map(of));
  const step = middle((each) => secondsWith(each, given));
  const speedup = alone / step;
  return {
    ...given,
    step,
    speedup,
    efficiency: speedup / given.workers,
    shards: middle(({ parts }) => Math.max(0, ...parts.map(({ length }) => length))),
    values: middle(({ values }) => values),
    returned: middle(({ parts }) => parts.flat().reduce((sum, { returned }) => sum + returned, 0)),
  };
}
