import { UserError } from "../../errors.ts";

/** Identifies the dropout layer and the optimizer step of a mask. `seed`, `step` and `layer` are 32-bit integers. */
export interface MaskIdentity {
  seed: number;
  step: number;
  /** Number of the dropout layer within the model. */
  layer: number;
  /** Probability that a unit is dropped, from 0 up to, but not including, 1. */
  probability: number;
}

/**
 * Fills the dropout mask of hidden states: 0 where a unit is dropped, `1 / (1 - probability)` where it is kept.
 *
 * An entry is a hash of seed, step, layer, example, position and unit only, so micro-batches, padding and resuming do not
 * change it.
 * @param out `[rows, width]`
 * @param examples each row's example, as its index in the training set, `[rows]`
 * @param positions each row's position in its example, `[rows]`
 */
export function fillHiddenMask(
  out: Float32Array<ArrayBuffer>,
  identity: MaskIdentity,
  examples: ArrayLike<number>,
  positions: ArrayLike<number>,
  width: number,
): void {
  const mask = maskOf(out, identity.probability);
  const key = keyOf(identity);
  for (let row = 0; row < positions.length; row++) {
    fillRow(mask, row * width, width, mix(mix(key + examples[row]!) + positions[row]!));
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
 * example, head, query and key position. Entries of padding keep their old values, because nothing reads them.
 * @param out `[examples, heads, queries, keys]`, padded
 * @param examples indices in the training set
 */
export function fillAttentionMask(
  out: Float32Array<ArrayBuffer>,
  identity: MaskIdentity,
  examples: ArrayLike<number>,
  { heads, queries, keys }: { heads: number; queries: PaddedLengths; keys: PaddedLengths },
): void {
  const mask = maskOf(out, identity.probability);
  const key = keyOf(identity);
  for (let example = 0; example < examples.length; example++) {
    const exampleKey = mix(key + examples[example]!);
    for (let head = 0; head < heads; head++) {
      const headKey = mix(exampleKey + head);
      const start = (example * heads + head) * queries.padded;
      for (let query = 0; query < queries.lengths[example]!; query++) {
        const position = query + (queries.starts?.[example] ?? 0);
        fillRow(mask, (start + query) * keys.padded, keys.lengths[example]!, mix(headKey + position));
      }
    }
  }
}

/** A mask that is being filled, as raw bits. */
interface Mask {
  bits: Int32Array;
  /** Bits of the value of a kept unit. */
  kept: number;
  /** A 16-bit draw below it drops its unit. */
  threshold: number;
}

function maskOf(out: Float32Array<ArrayBuffer>, probability: number): Mask {
  if (!(probability >= 0 && probability < 1)) {
    throw new UserError(`Dropout: the probability is ${probability}; give a number from 0 up to, but not including, 1`);
  }
  return {
    bits: new Int32Array(out.buffer, out.byteOffset, out.length),
    kept: new Int32Array(Float32Array.of(1 / (1 - probability)).buffer)[0]!,
    threshold: Math.round(probability * 2 ** 16),
  };
}

/**
 * Fills `width` entries from `start` on with the draws of a key. Each hash serves two neighbours. The sign of
 * draw - threshold, spread over a word, clears or keeps the value's bits: a branch would be mispredicted too often.
 */
function fillRow({ bits, kept, threshold }: Mask, start: number, width: number, key: number): void {
  const key2 = mix(key ^ GOLDEN);
  const end = start + width;
  let counter = key;
  for (let i = start; i < end - 1; i += 2) {
    const draws = mix(counter, key2);
    bits[i] = ~(((draws & 0xffff) - threshold) >> 31) & kept;
    bits[i + 1] = ~(((draws >>> 16) - threshold) >> 31) & kept;
    counter = (counter + GOLDEN) | 0;
  }
  if (width % 2) bits[end - 1] = ~(((mix(counter, key2) & 0xffff) - threshold) >> 31) & kept;
}

function keyOf({ seed, step, layer }: MaskIdentity): number {
  return mix(mix(mix(seed) + step) + layer);
}

/** Number of the augmented variant of an example in a step: 32 bits that depend only on seed, step and example. */
export const variantOf = (seed: number, step: number, example: number): number => mix(mix(mix(seed) + step) + example);

/** 2³² divided by the golden ratio: its multiples spread evenly over 32 bits. */
const GOLDEN = 0x9e3779b9 | 0;

/**
 * A 32-bit hash: Wellons' lowbias32 (nullprogram.com/blog/2018/07/31), a bijection of `x` for every `key`. The key
 * enters half-way, so that two rows whose counters overlap still draw different numbers.
 */
function mix(x: number, key = 0): number {
  let h = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15) ^ key, 0x846ca68b);
  return h ^ (h >>> 16);
}
