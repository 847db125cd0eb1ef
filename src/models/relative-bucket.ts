/** How relative positions are told apart. */
export interface RelativeBuckets {
  /** Their number. */
  buckets: number;
  /** Distance from which on all share a bucket. */
  farthest: number;
  /** Whether keys after the query have buckets of their own, the second half; else they are taken for the query itself. */
  bothWays: boolean;
}

/**
 * T5's bucket of a key (Raffel et al., arXiv 1910.10683): of each direction half for single distances, the rest logarithmic.
 * @param distance position of the key less that of the query
 */
export function relativeBucket(distance: number, { buckets, farthest, bothWays }: RelativeBuckets): number {
  const own = bothWays ? Math.floor(buckets / 2) : buckets;
  const start = bothWays && distance > 0 ? own : 0;
  const size = bothWays ? Math.abs(distance) : Math.max(0, -distance);
  const single = Math.floor(own / 2);
  if (size < single) return start + size;
  const far = single + Math.floor((Math.log(size / single) / Math.log(farthest / single)) * (own - single));
  return start + Math.min(far, own - 1);
}
