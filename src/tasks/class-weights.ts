import type { Example } from "./example.ts";

/**
 * Weights `[classes]` under which every class counts alike: `n / (k · count)` for `n` examples of `k` classes, as
 * scikit-learn's `class_weight="balanced"`. A class without examples has weight 0 and is not among the `k`.
 */
export function balancedClassWeights(examples: readonly Pick<Example, "label">[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const { label } of examples) counts[label!]! += 1;
  const present = counts.filter((count) => count > 0).length;
  return counts.map((count) => (count > 0 ? examples.length / (present * count) : 0));
}
