import { elementsOf, type Tensors } from "../graph/tensor.ts";
import { type Job, microBatchJob, type Results, replicaJob } from "../runs/many-machines/jobs.ts";
import { REPLICA } from "../runs/many-machines/protocol.ts";
import type { ReplicaSteps } from "../training/local-steps/replica.ts";
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
  ): AsyncGenerator<Results, void> {
    const shards: TimedShard[] = [];
    this.#of = replicas[0]!.batches.length;
    this.#at.values = bytesOf([...own.trained.values()]);
    this.#at.parts.push(shards);
    const kind = { state: 0, step: replicas[0]!.step, part: REPLICA } as const;
    for (const [i, replica] of replicas.entries()) {
      const make = () => replicaJob(kind, i, replica, { own, weights });
      yield await this.#timed(shards, make, (job) => job.compute(signal));
    }
  }

  async *#outcomes(
    { step, part, own }: { step: number; part: StepPart; own: ModelRun },
    microBatches: readonly (() => MicroBatch)[],
  ): AsyncGenerator<ModelOutcome, void> {
    const shards: TimedShard[] = [];
    this.#at.values = Math.max(this.#at.values, bytesOf(own.gradientShapes.map(([, shape]) => shape)));
    this.#at.parts.push(shards);
    for (const [i, make] of microBatches.entries()) {
      const microBatch = make();
      const job = () => microBatchJob({ state: 0, step, part }, i, microBatch, own);
      yield await this.#timed(shards, job, () => own.run(step, microBatch.examples, microBatch.inputs));
    }
  }

  async #timed<Outcome>(shards: TimedShard[], make: () => Job, compute: (job: Job) => Promise<Outcome>) {
    const began = performance.now();
    const job = make();
    const started = performance.now();
    const outcome = await compute(job);
    const seconds = (performance.now() - started) / 1000;
    this.#at.own += (started - began) / 1000;
    shards.push({ seconds, sent: job.bytes.length, returned: bytesOf([...job.shapes().values()]) });
    return outcome;
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

/**
 * Seconds of a step with workers. Each fetches the trainable parameters, then takes, computes and returns one shard after another. The
 * slowest of three decides: the link to the workers, the link back, or the worker with most shards.
 */
export function secondsWith({ own, values, parts }: TimedStepParts, { workers, network }: Workers): number {
  const carry = (bytes: number): number => (8 * bytes) / (1e6 * network);
  const times = parts.map((shards, i) => {
    const sum = (of: keyof TimedShard): number => shards.reduce((total, shard) => total + shard[of], 0);
    const count = Math.max(1, shards.length);
    const [seconds, sent, back] = [sum("seconds") / count, carry(sum("sent")), carry(sum("returned"))];
    const fetched = i === 0 ? carry(values) : 0;
    return Math.max(
      Math.min(workers, count) * fetched + sent + seconds + back / count,
      fetched + sent / count + seconds + back,
      fetched + (Math.ceil(count / workers) / count) * (sent + sum("seconds") + back),
    );
  });
  return own + times.reduce((total, time) => total + time, 0);
}

export interface WorkersEstimate extends Workers {
  step: number;
  speedup: number;
  /** Speedup per worker: 1 if no worker ever waits. */
  efficiency: number;
  shards: number;
  /** Bytes of trainable parameters that each worker fetches in a step. */
  values: number;
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
