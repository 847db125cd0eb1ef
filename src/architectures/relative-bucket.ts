export interface RelativeBuckets {
  buckets: number;
  /** Distance from which all share a bucket. */
  farthest: number;
  /** Whether keys after the query have separate buckets, the second half; otherwise they count as distance 0. */
  bidirectional: boolean;
}

/**
 * Returns T5's bucket of a key (Raffel et al., arXiv 1910.10683): in each direction, half for single distances, half
 * logarithmic.
 * @param distance position of the key minus that of the query
 */
export function relativeBucket(distance: number, { buckets, farthest, bidirectional }: RelativeBuckets): number {
  const own = bidirectional ? Math.floor(buckets / 2) : buckets;
  const start = bidirectional && distance > 0 ? own : 0;
  const size = bidirectional ? Math.abs(distance) : Math.max(0, -distance);
  const single = Math.floor(own / 2);
  if (size < single) return start + size;
  const far = single + Math.floor((Math.log(size / single) / Math.log(farthest / single)) * (own - single));
  return start + Math.min(far, own - 1);
}
