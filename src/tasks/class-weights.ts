/**
 * Weights `[classes]` under which every class counts alike: `n / (k · count)` for `n` labels of `k` classes, as
 * scikit-learn's `class_weight="balanced"`. A class without examples has weight 0 and is not among the `k`.
 */
export function balancedClassWeights(labels: readonly number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]! += 1;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count > 0 ? labels.length / (present * count) : 0));
}
