/** Search results of a query, best first, compared with the relevant texts. */
export interface SearchOutcome {
  /** Whether each result is relevant. */
  hits: readonly boolean[];
  /** Total number of relevant texts, found or not. */
  relevant: number;
}

const cut = ({ hits }: SearchOutcome, k: number): readonly boolean[] => hits.slice(0, k);
const countTrue = (hits: readonly boolean[]): number => hits.filter(Boolean).length;

/** Discounted gain of relevant texts at these ranks, counted from 0 (Järvelin and Kekäläinen 2002). */
const gain = (ranks: Iterable<number>): number => [...ranks].reduce((sum, rank) => sum + 1 / Math.log2(rank + 2), 0);
const ranksOf = (hits: readonly boolean[]): number[] => [...hits.keys()].filter((rank) => hits[rank]);

/** Metrics of one query over its first `k` results; equal to sentence-transformers' `InformationRetrievalEvaluator`. */
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

export const SEARCH_METRIC_NAMES = [
  "ndcg_at_10",
  "mrr_at_10",
  "map_at_100",
  ...[1, 3, 5, 10].flatMap((k) => [`recall_at_${k}`, `precision_at_${k}`]),
];

export const MAX_RESULTS = 100;

export function searchMetric(name: string, outcomes: readonly SearchOutcome[]): number {
  const [which, k] = name.split("_at_") as [keyof typeof SEARCH_METRICS, string];
  const sum = outcomes.reduce((total, outcome) => total + SEARCH_METRICS[which](outcome, Number(k)), 0);
  return outcomes.length === 0 ? 0 : sum / outcomes.length;
}

export const searchMetrics = (names: readonly string[], outcomes: readonly SearchOutcome[]): Record<string, number> =>
  Object.fromEntries(names.map((name) => [name, searchMetric(name, outcomes)]));

/** Area under the precision-recall step curve (scikit-learn's `average_precision_score`); equal scores are one step. */
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
