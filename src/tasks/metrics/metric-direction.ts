import { metricDirections } from "../task-kinds.ts";

/**
 * Whether a lower value of a metric is better, as the kinds of tasks say that have it; of the loss it is.
 * @param metric as records have it: of several splits with the split's name behind (`accuracy_matched`)
 */
export function lowerIsBetter(metric: string): boolean {
  const known = new Map([...metricDirections(), ["loss", false]]);
  const [own] = [...known.keys()]
    .filter((name) => metric === name || metric.startsWith(`${name}_`))
    .sort((a, b) => b.length - a.length);
  return own !== undefined && !known.get(own);
}
