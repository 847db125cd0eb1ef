import { lowerIsBetter } from "../tasks/metrics/metric-direction.ts";

/** Which value of a metric is called the best. */
export function bestIs(metric: string): "highest" | "lowest" {
  return lowerIsBetter(metric) ? "lowest" : "highest";
}

/** Orders values of a metric, the best first, as `sort` wants it. */
export function byScore(metric: string): (a: number, b: number) => number {
  return lowerIsBetter(metric) ? (a, b) => a - b : (a, b) => b - a;
}

/** The item with the best score by a metric, of equals the first; undefined where no score is a number. */
export function bestOf<T>(metric: string, items: readonly T[], scoreOf: (item: T) => number): T | undefined {
  const order = byScore(metric);
  const known = items.filter((item) => Number.isFinite(scoreOf(item)));
  return known.toSorted((a, b) => order(scoreOf(a), scoreOf(b)))[0];
}
