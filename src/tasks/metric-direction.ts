/** Metrics of which a lower value is better, in Hugging Face's names; of every other a higher one is. */
const LOWER: ReadonlySet<string> = new Set(["mean_squared_error", "loss", "perplexity"]);

/** Whether a lower value of a metric is better; of several splits (`accuracy_matched`) the metric's own name decides. */
export function lowerIsBetter(metric: string): boolean {
  return LOWER.has(metric.replace(/_(mis)?matched$/, ""));
}
