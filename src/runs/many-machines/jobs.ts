import { areFinite as isFiniteData, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { ReadText } from "../../tasks/task-kind.ts";
import { advance, advancedShapes, type ReplicaSteps } from "../../training/local-steps/replica.ts";
import type { MicroBatch, ModelRun } from "../../training/model-run.ts";
import type { TrainingStep } from "../../training/step.ts";
import type { StepPart } from "../../training/step-part.ts";
import { messageBytes } from "./message.ts";
import type { REPLICA } from "./protocol.ts";
import { isSame } from "./run-state.ts";

/** Results of a graph for a shard, by output name. */
export type Results = Record<string, Tensor>;

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
  const { examples, inputs } = microBatch;
  const texts = examples.map(({ index, ...text }) => ({ index, ...textOf(text) }));
  const shard = nameOf(of, i);
  return {
    shard,
    bytes: messageBytes({ shard, ...of, examples: texts }, new Map(Object.entries(inputs))),
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

export const replicaBytes = (facts: object, { batches, ...steps }: ReplicaSteps): Buffer =>
  messageBytes({
    ...facts,
    ...steps,
    batches: batches.map((batch) =>
      batch.map(({ index, texts, targets, weights, ...text }) => {
        return { index, ...textOf(text), texts: texts?.map(textOf), targets, weights };
      }),
    ),
  });

const nameOf = ({ state, step, part }: JobKind, i: number): string => `${state}.${step}.${part}.${i}`;

/** The parts of a text that a worker needs. */
const textOf = ({ encoding, decoder, rows }: ReadText) => ({ encoding, decoder, rows });

/** Describes an error in the names or shapes of results; undefined if there is none. */
export function whyWrong(results: Results, shapes: ReadonlyMap<string, readonly number[]>): string | undefined {
  const wrong = [...shapes].find(
    ([output, shape]) => results[output]?.dtype !== "float32" || results[output].shape.join() !== shape.join(),
  );
  if (wrong) return `its result "${wrong[0]}" should be float32 [${wrong[1].join(", ")}]`;
  return Object.keys(results).length === shapes.size ? undefined : "its results are more than were asked for";
}

export const areFinite = (results: Results): boolean =>
  Object.values(results).every(({ data }) => isFiniteData(data as Float32Array));

/** Whether all results are equal to the bit. */
export const isEqual = (a: Results, b: Results): boolean =>
  Object.entries(a).every(([output, { data }]) => isSame(data, b[output]!.data));

/** Largest relative distance (in norm) from this machine's results if processors are mixed. */
const TOLERANCE = 1e-3;

/** Whether results differ by rounding only. */
export function isNear(a: Results, b: Results): boolean {
  let [difference, norm] = [0, 0];
  for (const [output, { data }] of Object.entries(b)) {
    const other = a[output]!.data as Float32Array;
    (data as Float32Array).forEach((value, i) => {
      difference += (value - other[i]!) ** 2;
      norm += value ** 2;
    });
  }
  return difference <= TOLERANCE ** 2 * norm;
}
