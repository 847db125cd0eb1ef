import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import type { Example } from "../../tasks/example.ts";
import { metricsOf } from "../../tasks/examples.ts";
import type { HeldOutSearch } from "../../tasks/held-out-search.ts";
import {
  MAX_RESULTS,
  SEARCH_METRIC_NAMES,
  type SearchOutcome,
  searchMetrics,
} from "../../tasks/metrics/retrieval-metrics.ts";
import type { ComputeOptions, FineTunedModel } from "../fine-tuned-model.ts";
import { beforeTraining } from "./base-alone.ts";
import { WordSearch } from "./bm25.ts";

/**
 * Baseline scores of an embedding model or a reranker: those of the model before training and, if the examples form a search, of BM25.
 */
export async function baselinesOf(
  model: FineTunedModel,
  examples: readonly Example[],
  runtime: Runtime,
  { onStage, onDone }: { onStage?(stage: string): void; onDone?: ComputeOptions["onDone"] } = {},
): Promise<Record<string, Record<string, number>> | undefined> {
  const { kind, description } = model;
  if (!kind.retrieval) return undefined;
  onStage?.("evaluating the model before training");
  const before = await beforeTraining(model, runtime);
  try {
    const { task } = description;
    const predictions = await before.predictLabels(examples, { onDone });
    const scores = await metricsOf(task, predictions, examples);
    const metrics = { ...scores, ...kind.review?.details?.(predictions, examples, task.labels).metrics };
    const search = kind.retrieval.searchIn(examples);
    return { "before training": metrics, ...(search && { BM25: await byWords(search, Object.keys(metrics)) }) };
  } finally {
    await before.release();
  }
}

async function byWords({ texts, queries }: HeldOutSearch, metrics: readonly string[]): Promise<Record<string, number>> {
  const words = new WordSearch(texts);
  const turns = new Turns();
  const outcomes: SearchOutcome[] = [];
  for (const { text, relevant, among } of queries) {
    const hits = words.search(text, MAX_RESULTS, among).map(({ index }) => relevant.has(index));
    outcomes.push({ hits, relevant: relevant.size });
    await turns.give();
  }
  return searchMetrics(
    metrics.filter((name) => SEARCH_METRIC_NAMES.includes(name)),
    outcomes,
  );
}
