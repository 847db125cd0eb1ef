import { metricDirections } from "../task-kinds.ts";

/**
 * Whether a lower value of a metric is better, according to the kinds of task that have it; true for the loss.
 * @param metric name in records, with the split's name as a suffix if there are several splits (`accuracy_matched`)
 */
export function lowerIsBetter(metric: string): boolean {
  const known = new Map([...metricDirections(), ["loss", false]]);
  const [own] = [...known.keys()]
    .filter((name) => metric === name || metric.startsWith(`${name}_`))
    .sort((a, b) => b.length - a.length);
  return own !== undefined && !known.get(own);
}
