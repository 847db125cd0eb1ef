import { evenly } from "../list.ts";
import { ranks } from "./metrics.ts";

/** Scores of related and unrelated held-out texts, for a report. */
export interface PairScores {
  /** Scores of related and of unrelated pairs, cosines or sigmoids; a sample if there are many. */
  relevant: number[];
  others: number[];
  /** Measure of `values`. */
  measure: "ndcg_at_10" | "rank_agreement";
  /** Score of each query or pair from 0 to 1, and its text; a sample if there are many. */
  values: number[];
  texts: string[];
}

const LIMITS = { scores: 2000, queries: 10_000, letters: 200 };

export function shortScores({ relevant, others, measure, values, texts }: PairScores): PairScores {
  return {
    relevant: evenly(relevant, LIMITS.scores).map(rounded),
    others: evenly(others, LIMITS.scores).map(rounded),
    measure,
    values: evenly(values, LIMITS.queries).map(rounded),
    texts: evenly(texts, LIMITS.queries).map((text) =>
      text.length > LIMITS.letters ? `${text.slice(0, LIMITS.letters - 1)}…` : text,
    ),
  };
}

/**
 * Scores of labelled pairs. Those in the upper half of the label range count as related. A pair's value measures how close its rank by
 * the model is to its rank by label.
 */
export function scoresOfPairs(
  found: readonly number[],
  labels: readonly number[],
  texts: readonly string[],
): PairScores {
  const [low, high] = labels.reduce(([a, b], label) => [Math.min(a, label), Math.max(b, label)], [Infinity, -Infinity]);
  const together = (i: number): boolean => labels[i]! > (low + high) / 2;
  const [byModel, byLabel] = [ranks(found), ranks(labels)];
  const most = Math.max(1, labels.length - 1);
  return {
    relevant: found.filter((_, i) => together(i)),
    others: found.filter((_, i) => !together(i)),
    measure: "rank_agreement",
    values: byModel.map((rank, i) => 1 - Math.abs(rank - byLabel[i]!) / most),
    texts: [...texts],
  };
}

const rounded = (value: number): number => Number(value.toPrecision(4));
