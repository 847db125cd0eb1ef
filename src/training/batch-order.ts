import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

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

/** Steps of one epoch, the partial last batch included. */
export const stepsPerEpoch = (examples: number, batchSize: number): number => Math.ceil(examples / batchSize);
