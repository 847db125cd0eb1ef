import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RunLength } from "../../methods/method.ts";

/** Order of the `count` training examples in an epoch (from 0): a permutation that depends on nothing but its arguments. */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = xoroshiro128plus(seed);
  // One stream per epoch. The first jump is there because near seeds start with near numbers.
  for (let jumps = 0; jumps <= epoch; jumps++) random.jump();
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * The batches of an epoch, as indices of examples: always as many as {@link stepsPerEpoch}. What must be apart is: an example
 * that shares something with one of a batch goes into the next that it fits, and is left out of the epoch where none is left.
 */
export function epochBatches(
  seed: number,
  epoch: number,
  examples: readonly { oncePerBatch?: readonly string[] }[],
  batchSize: number,
): number[][] {
  const batches = Array.from({ length: stepsPerEpoch(examples.length, batchSize) }, () => ({
    chosen: [] as number[],
    held: new Set<string>(),
  }));
  let firstOpen = 0;
  for (const i of epochOrder(seed, epoch, examples.length)) {
    const { oncePerBatch = [] } = examples[i]!;
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

/** What a step is of. */
export interface StepBatch<Example> {
  examples: Example[];
  /** Examples of the batches that come next in its epoch. */
  ahead(): Example[];
  /** Epochs done after it: a fraction within one. */
  epoch: number;
  /** `step 7 (epoch 2, batch 4 of 4)` */
  where: string;
}

/** Batches whose hidden states are computed together, where blocks have frozen. */
const AHEAD = 7;

interface BatchSettings {
  epochs: number;
  batchSize: number;
  seed: number;
}

/** The batches of a run, step by step. */
export class Batches<Example extends { oncePerBatch?: readonly string[] }> implements RunLength {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly #examples: readonly Example[];
  readonly #settings: BatchSettings;
  /** Of the epoch at hand. */
  #epoch: number | undefined;
  #batches: Example[][] = [];

  constructor(examples: readonly Example[], settings: BatchSettings) {
    this.stepsPerEpoch = stepsPerEpoch(examples.length, settings.batchSize);
    this.totalSteps = settings.epochs * this.stepsPerEpoch;
    this.#examples = examples;
    this.#settings = settings;
  }

  /** @param step from 0 */
  at(step: number): StepBatch<Example> {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (epoch !== this.#epoch) {
      const { seed, batchSize } = this.#settings;
      const chosen = epochBatches(seed, epoch, this.#examples, batchSize);
      this.#batches = chosen.map((batch) => batch.map((i) => this.#examples[i]!));
      this.#epoch = epoch;
    }
    const batch = step - epoch * this.stepsPerEpoch;
    const batches = this.#batches;
    return {
      examples: batches[batch]!,
      ahead: () => batches.slice(batch + 1, batch + 1 + AHEAD).flat(),
      epoch: (step + 1) / this.stepsPerEpoch,
      where: `step ${step} (epoch ${epoch + 1}, batch ${batch + 1} of ${this.stepsPerEpoch})`,
    };
  }
}

/** Steps of one epoch, the partial last batch included. */
export const stepsPerEpoch = (examples: number, batchSize: number): number => Math.ceil(examples / batchSize);
