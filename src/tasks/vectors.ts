export const VECTOR_COLUMN = "embedding";

export interface Hit {
  index: number;
  score: number;
}

/** The first `size` dimensions of a vector, scaled to norm 1. Zero vectors stay zero. */
export function unitVector(vector: Float32Array, size = vector.length): Float32Array {
  const cut = vector.subarray(0, size);
  const length = Math.sqrt(cut.reduce((sum, value) => sum + value * value, 0));
  return cut.map((value) => value / (length || 1));
}

/** A vector's numbers in decimal form: nine digits distinguish all float32 values. */
export const decimalsOf = (vector: Float32Array): number[] =>
  Array.from(vector, (value) => Number(value.toPrecision(9)));

export function dot(a: Float32Array, b: Float32Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const whole = a.length & ~3;
  // Four independent sums, which the processor can compute in parallel.
  for (let i = 0; i < whole; i += 4) {
    s0 += a[i]! * b[i]!;
    s1 += a[i + 1]! * b[i + 1]!;
    s2 += a[i + 2]! * b[i + 2]!;
    s3 += a[i + 3]! * b[i + 3]!;
  }
  for (let i = whole; i < a.length; i++) s0 += a[i]! * b[i]!;
  return s0 + s1 + s2 + s3;
}

/**
 * Nearest vectors by exact search, best first; the first if several are equal.
 * @param query with norm 1, as are `vectors`
 * @param skip whether to ignore an index
 */
export function nearest(
  query: Float32Array,
  vectors: readonly Float32Array[],
  count: number,
  skip: (index: number) => boolean = () => false,
): Hit[] {
  const best: Hit[] = [];
  for (let index = 0; index < vectors.length; index++) {
    const score = dot(query, vectors[index]!);
    if ((best.length === count && score <= best.at(-1)!.score) || skip(index)) continue;
    let place = best.length;
    while (place > 0 && best[place - 1]!.score < score) place--;
    best.splice(place, 0, { index, score });
    if (best.length > count) best.pop();
  }
  return best;
}
