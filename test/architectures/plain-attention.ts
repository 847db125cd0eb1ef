/** Rows of numbers, in double precision. */
export type Rows = readonly (readonly number[])[];

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/**
 * Attention of one example in plain loops, to check the graph's.
 * @param query `[queries][heads*size]`
 * @param key `[keys][keyValueHeads*size]`, as is `value`
 * @param sees whether a query may attend to a key, by their positions
 * @returns `[queries][heads*size]`
 */
export function plainAttention(
  query: Rows,
  key: Rows,
  value: Rows,
  { heads, keyValueHeads, size }: { heads: number; keyValueHeads: number; size: number },
  sees: (query: number, key: number) => boolean = () => true,
): number[][] {
  return query.map((q, position) =>
    Array.from({ length: heads }, (_, head) => {
      const shared = Math.floor(head / (heads / keyValueHeads)) * size;
      const own = q.slice(head * size, (head + 1) * size);
      const exponentials = key.map((k, at) =>
        sees(position, at) ? Math.exp(dot(own, k.slice(shared, shared + size)) / Math.sqrt(size)) : 0,
      );
      const total = exponentials.reduce((sum, each) => sum + each, 0);
      return Array.from({ length: size }, (_, feature) =>
        value.reduce((sum, v, at) => sum + (exponentials[at]! / total) * v[shared + feature]!, 0),
      );
    }).flat(),
  );
}

/** Derivative of `f` with respect to an element of `values`, by a central difference in double precision. */
export function difference(values: Float64Array, at: number, f: () => number, step = 1e-5): number {
  const value = values[at]!;
  values[at] = value + step;
  const above = f();
  values[at] = value - step;
  const below = f();
  values[at] = value;
  return (above - below) / (2 * step);
}
