import type { Runtime } from "../../runtime/session.ts";
import type { Example } from "../../tasks/example.ts";
import { computeMetrics } from "../../tasks/examples.ts";
import type { HeldOutSearch } from "../../tasks/held-out-search.ts";
import { MAX_RESULTS, SEARCH_METRIC_NAMES, searchMetrics } from "../../tasks/metrics/retrieval-metrics.ts";
import type { ComputeOptions, FineTunedModel } from "../fine-tuned-model.ts";
import { beforeTraining } from "./base-alone.ts";
import { WordSearch } from "./bm25.ts";

/**
 * Baseline scores of an embedding model or a reranker: those of the model before training and, if the examples form a search, of BM25.
 * @returns metric → value by name; undefined for other kinds
 */
export async function baselinesOf(
  model: FineTunedModel,
  examples: readonly Example[],
  runtime: Runtime,
  { onStage, onDone }: { onStage?(stage: string): void; onDone?: ComputeOptions["onDone"] } = {},
): Promise<Record<string, Record<string, number>> | undefined> {
  const { kind, description } = model;
  if (!kind.searchIn) return undefined;
  onStage?.("evaluating the model before training");
  const before = await beforeTraining(model, runtime);
  try {
    const { task } = description;
    const predictions = await before.predictLabels(examples, { onDone });
    const details = kind.detailsOf?.(predictions, examples, task.labels);
    const metrics = { ...computeMetrics(task, predictions, examples), ...details?.metrics };
    const search = kind.searchIn(examples);
    return { "before training": metrics, ...(search && { BM25: byWords(search, Object.keys(metrics)) }) };
  } finally {
    await before.release();
  }
}

/** Search metrics of a BM25 search. */
function byWords({ texts, queries }: HeldOutSearch, metrics: readonly string[]): Record<string, number> {
  const words = new WordSearch(texts);
  const outcomes = queries.map(({ text, relevant, among }) => ({
    hits: words.search(text, MAX_RESULTS, among).map(({ index }) => relevant.has(index)),
    relevant: relevant.size,
  }));
  return searchMetrics(
    metrics.filter((name) => SEARCH_METRIC_NAMES.includes(name)),
    outcomes,
  );
}
