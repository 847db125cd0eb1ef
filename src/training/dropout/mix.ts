/** 2³² divided by the golden ratio: its multiples spread evenly over 32 bits. */
export const GOLDEN = 0x9e3779b9 | 0;

export const MULTIPLIERS = [0x7feb352d, 0x846ca68b | 0] as const;

/**
 * A 32-bit hash: Wellons' lowbias32 (nullprogram.com/blog/2018/07/31), a bijection of `x` for every `key`. The key
 * enters half-way, so that two rows whose counters overlap still draw different numbers.
 */
export function mix(x: number, key = 0): number {
  let h = Math.imul(x ^ (x >>> 16), MULTIPLIERS[0]);
  h = Math.imul(h ^ (h >>> 15) ^ key, MULTIPLIERS[1]);
  return h ^ (h >>> 16);
}
