import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RunLength } from "../../methods/method.ts";
import type { List } from "../../tasks/list.ts";

/** Order of the `count` training examples in an epoch (from 0): a permutation that depends only on the arguments. */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = xoroshiro128plus(seed);
  // One stream per epoch. The first jump separates seeds that are close to each other, whose first numbers are close too.
  for (let jumps = 0; jumps <= epoch; jumps++) random.jump();
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * Batches of an epoch, as indices of examples. Their number is always {@link stepsPerEpoch}. An example that shares a value of
 * `oncePerBatch` with an example of a batch moves to the next batch that it fits, or is left out of the epoch if none fits.
 */
export function epochBatches(
  seed: number,
  epoch: number,
  examples: List<{ oncePerBatch?: readonly string[] }>,
  batchSize: number,
): number[][] {
  const batches = Array.from({ length: stepsPerEpoch(examples.length, batchSize) }, () => ({
    chosen: [] as number[],
    held: new Set<string>(),
  }));
  // The examples of a kind have such values, or none has.
  const isApart = examples.at(0)?.oncePerBatch !== undefined;
  let firstOpen = 0;
  for (const i of epochOrder(seed, epoch, examples.length)) {
    const { oncePerBatch = [] } = isApart ? examples.at(i)! : {};
    while (batches[firstOpen]?.chosen.length === batchSize) firstOpen++;
    for (let b = firstOpen; b < batches.length; b++) {
      const { chosen, held } = batches[b]!;
      if (chosen.length === batchSize || oncePerBatch.some((each) => held.has(each))) continue;
      chosen.push(i);
      for (const each of oncePerBatch) held.add(each);
      break;
    }
  }
  return batches.map(({ chosen }) => chosen);
}

export interface StepBatch<Example> {
  examples: Example[];
  ahead(): Example[];
  epoch: number;
  /** Position for messages: `step 7 (epoch 2, batch 4 of 4)`. */
  where: string;
}

const PREFETCHED = 7;

export interface LengthSettings {
  epochs: number;
  batchSize: number;
  maxSteps?: number | undefined;
}

interface BatchSettings extends LengthSettings {
  seed: number;
}

export class Batches<Example extends { oncePerBatch?: readonly string[] }> implements RunLength {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  #epoch: number | undefined;
  #batches: number[][] = [];

  constructor(
    private readonly examples: List<Example>,
    private readonly settings: BatchSettings,
  ) {
    const { stepsPerEpoch, totalSteps } = runLength(settings, examples.length);
    this.stepsPerEpoch = stepsPerEpoch;
    this.totalSteps = totalSteps;
  }

  /** Returns the batch of a step. @param step from 0 */
  at(step: number): StepBatch<Example> {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (epoch !== this.#epoch) {
      const { seed, batchSize } = this.settings;
      this.#batches = epochBatches(seed, epoch, this.examples, batchSize);
      this.#epoch = epoch;
    }
    const batch = step - epoch * this.stepsPerEpoch;
    const batches = this.#batches;
    const examplesOf = (chosen: readonly number[]): Example[] => chosen.map((i) => this.examples.at(i)!);
    return {
      examples: examplesOf(batches[batch]!),
      ahead: () => examplesOf(batches.slice(batch + 1, batch + 1 + PREFETCHED).flat()),
      epoch: (step + 1) / this.stepsPerEpoch,
      where: `step ${step} (epoch ${epoch + 1}, batch ${batch + 1} of ${this.stepsPerEpoch})`,
    };
  }
}

export function runLength({ epochs, batchSize, maxSteps }: LengthSettings, examples: number): RunLength {
  const perEpoch = stepsPerEpoch(examples, batchSize);
  return { stepsPerEpoch: perEpoch, totalSteps: maxSteps ?? epochs * perEpoch };
}

export const stepsPerEpoch = (examples: number, batchSize: number): number => Math.ceil(examples / batchSize);
