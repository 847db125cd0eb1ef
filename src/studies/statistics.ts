/** Mean of values; NaN for an empty list. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sample standard deviation; 0 for a single value. */
export function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, values.length - 1));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** Mean and sample standard deviation over seeds; a single value has no deviation. */
export interface Spread {
  mean: number;
  deviation?: number;
  count: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return {
    mean: mean(values),
    ...(values.length > 1 && { deviation: deviation(values) }),
    count: values.length,
  };
}

/** Groups values by key, in order of first appearance. */
export function grouped<T, K>(values: Iterable<T>, key: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) {
    const name = key(value);
    const group = groups.get(name);
    if (group) group.push(value);
    else groups.set(name, [value]);
  }
  return groups;
}

/** Two-sided 5 % quantiles of Student's t for 1, 2, … degrees of freedom; 2 for all that follow. */
const T_95 = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23];

/** Whether a mean is further from 0 than the spread of its values explains in 19 of 20 draws; false for a single value. */
export function isBeyondChance({ mean: middle, deviation: spread, count }: Spread): boolean {
  if (spread === undefined) return false;
  return Math.abs(middle) > (T_95[count - 2] ?? 2) * (spread / Math.sqrt(count));
}
