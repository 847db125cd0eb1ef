import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";

export function bestIs(metric: string): "highest" | "lowest" {
  return lowerIsBetter(metric) ? "lowest" : "highest";
}

/** Comparator for `sort` that puts a metric's best values first. */
export function byScore(metric: string): (a: number, b: number) => number {
  return lowerIsBetter(metric) ? (a, b) => a - b : (a, b) => b - a;
}

/** First item with the best score by a metric; undefined if no score is a number. */
export function bestOf<T>(metric: string, items: readonly T[], scoreOf: (item: T) => number): T | undefined {
  const order = byScore(metric);
  const known = items.filter((item) => Number.isFinite(scoreOf(item)));
  return known.toSorted((a, b) => order(scoreOf(a), scoreOf(b)))[0];
}
