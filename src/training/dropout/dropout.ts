import { UserError } from "../../errors.ts";
import type { Draws, MaskMemory } from "./mask-memory.ts";
import { GOLDEN, mix } from "./mix.ts";

/** Identifies the dropout layer and the optimizer step of a mask. `seed`, `step` and `layer` are 32-bit integers. */
export interface MaskIdentity {
  seed: number;
  step: number;
  layer: number;
  /** Probability that a unit is dropped, from 0 up to, but not including, 1. */
  probability: number;
}

/**
 * Fills the dropout mask of hidden states: 0 where a unit is dropped, `1 / (1 - probability)` where it is kept.
 *
 * An entry is a hash of seed, step, layer, example, position and unit only, so micro-batches, padding and resuming do not
 * change it. Each hash serves two neighbours.
 * @param out `[rows, width]`
 * @param examples each row's example, as its index in the training set, `[rows]`
 * @param positions each row's position in its example, `[rows]`
 */
export function fillHiddenMask(
  memory: MaskMemory,
  out: Float32Array,
  identity: MaskIdentity,
  examples: ArrayLike<number>,
  positions: ArrayLike<number>,
  width: number,
): void {
  const draws = drawsOf(identity.probability);
  const layerKey = keyOf(identity);
  for (let row = 0; row < positions.length; row++) {
    const key = mix(mix(layerKey + examples[row]!) + positions[row]!);
    memory.fillRow(out, row * width, width, key, mix(key ^ GOLDEN), draws);
  }
}

/** Lengths of one side of the attention scores: of each example, and padded. */
export interface PaddedLengths {
  lengths: ArrayLike<number>;
  padded: number;
  /** Position of each example's first entry (default: 0). */
  starts?: ArrayLike<number>;
}

/**
 * Fills the dropout mask of attention probabilities like {@link fillHiddenMask}. An entry depends on seed, step, layer,
 * example, head, query and key position. Entries of padding have any values, because nothing reads them.
 * @param out `[examples, heads, queries, keys]`, padded
 */
export function fillAttentionMask(
  memory: MaskMemory,
  out: Float32Array,
  identity: MaskIdentity,
  examples: ArrayLike<number>,
  { heads, queries, keys }: { heads: number; queries: PaddedLengths; keys: PaddedLengths },
): void {
  const draws = drawsOf(identity.probability);
  const layerKey = keyOf(identity);
  for (let example = 0; example < examples.length; example++) {
    const exampleKey = mix(layerKey + examples[example]!);
    for (let head = 0; head < heads; head++) {
      const headKey = mix(exampleKey + head);
      const start = (example * heads + head) * queries.padded;
      for (let query = 0; query < queries.lengths[example]!; query++) {
        const position = query + (queries.starts?.[example] ?? 0);
        const key = mix(headKey + position);
        const first = (start + query) * keys.padded;
        memory.fillRow(out, first, keys.lengths[example]!, key, mix(key ^ GOLDEN), draws);
      }
    }
  }
}

function drawsOf(probability: number): Draws {
  if (!(probability >= 0 && probability < 1)) {
    throw new UserError(`Dropout: the probability is ${probability}; give a number from 0 up to, but not including, 1`);
  }
  return {
    kept: new Int32Array(Float32Array.of(1 / (1 - probability)).buffer)[0]!,
    threshold: Math.round(probability * 2 ** 16),
  };
}

function keyOf({ seed, step, layer }: MaskIdentity): number {
  return mix(mix(mix(seed) + step) + layer);
}

/** Number of the augmented variant of an example in a step: 32 bits that depend only on seed, step and example. */
export const variantOf = (seed: number, step: number, example: number): number => mix(mix(mix(seed) + step) + example);
