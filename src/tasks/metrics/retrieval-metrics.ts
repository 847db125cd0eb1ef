/** Texts that a search found for a query, the best first, and those that it was to find. */
export interface SearchOutcome {
  /** Whether each of the found is relevant. */
  hits: readonly boolean[];
  /** Relevant texts in all, found or not. */
  relevant: number;
}

const cut = ({ hits }: SearchOutcome, k: number): readonly boolean[] => hits.slice(0, k);
const countTrue = (hits: readonly boolean[]): number => hits.filter(Boolean).length;

/** Discounted gain of relevant texts at these ranks, from 0 (Järvelin and Kekäläinen 2002). */
const gain = (ranks: Iterable<number>): number => [...ranks].reduce((sum, rank) => sum + 1 / Math.log2(rank + 2), 0);
const ranksOf = (hits: readonly boolean[]): number[] => [...hits.keys()].filter((rank) => hits[rank]);

/** Of one query, over the first `k` that were found; equal to sentence-transformers' `InformationRetrievalEvaluator`. */
export const SEARCH_METRICS = {
  ndcg: (outcome: SearchOutcome, k: number): number =>
    outcome.relevant === 0 ? 0 : gain(ranksOf(cut(outcome, k))) / gain(Array(Math.min(k, outcome.relevant)).keys()),
  mrr(outcome: SearchOutcome, k: number): number {
    const first = cut(outcome, k).indexOf(true);
    return first < 0 ? 0 : 1 / (first + 1);
  },
  map(outcome: SearchOutcome, k: number): number {
    const ranks = ranksOf(cut(outcome, k));
    const precisions = ranks.reduce((sum, rank, found) => sum + (found + 1) / (rank + 1), 0);
    return outcome.relevant === 0 ? 0 : precisions / Math.min(k, outcome.relevant);
  },
  precision: (outcome: SearchOutcome, k: number): number => countTrue(cut(outcome, k)) / k,
  recall: (outcome: SearchOutcome, k: number): number =>
    outcome.relevant === 0 ? 0 : countTrue(cut(outcome, k)) / outcome.relevant,
} as const;

/** Names of metrics of a search, as records have them. */
export const SEARCH_METRIC_NAMES = [
  "ndcg_at_10",
  "mrr_at_10",
  "map_at_100",
  ...[1, 3, 5, 10].flatMap((k) => [`recall_at_${k}`, `precision_at_${k}`]),
];

/** Found texts that metrics look at, at most. */
export const DEEPEST = 100;

/** A metric by its name, `ndcg_at_10`, as a mean over queries. */
export function searchMetric(name: string, outcomes: readonly SearchOutcome[]): number {
  const [which, k] = name.split("_at_") as [keyof typeof SEARCH_METRICS, string];
  const sum = outcomes.reduce((total, outcome) => total + SEARCH_METRICS[which](outcome, Number(k)), 0);
  return outcomes.length === 0 ? 0 : sum / outcomes.length;
}

/** Metrics by these names. */
export const searchMetrics = (names: readonly string[], outcomes: readonly SearchOutcome[]): Record<string, number> =>
  Object.fromEntries(names.map((name) => [name, searchMetric(name, outcomes)]));

/** Area under precision over recall as steps (scikit-learn's `average_precision_score`); equal scores count as one step. */
export function averagePrecision(scores: readonly number[], relevant: readonly boolean[]): number {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const total = countTrue(relevant);
  let [sum, found] = [0, 0];
  for (let start = 0, end = 0; start < order.length; start = end) {
    const before = found;
    while (end < order.length && scores[order[end]!] === scores[order[start]!]) if (relevant[order[end++]!]) found++;
    sum += (found - before) * (found / end);
  }
  return total === 0 ? 0 : sum / total;
}
