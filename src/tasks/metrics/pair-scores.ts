import { ranks } from "./metrics.ts";

/** How a model tells what belongs together from what does not: what a report draws of held-out examples. */
export interface PairScores {
  /** Scores of what belongs together and of what does not, cosines or sigmoids; some of them where there are many. */
  relevant: number[];
  others: number[];
  /** What `values` are. */
  measure: "ndcg_at_10" | "rank_agreement";
  /** How well each query or pair fares, from 0 to 1, and what it is; some of them where there are many. */
  values: number[];
  texts: string[];
}

/** Most scores of each sort, and most queries, that are kept. */
const MOST = { scores: 2000, queries: 10_000, letters: 200 };

/** The same with no more than a report shows, taken evenly. */
export function shortScores({ relevant, others, measure, values, texts }: PairScores): PairScores {
  return {
    relevant: evenly(relevant, MOST.scores).map(rounded),
    others: evenly(others, MOST.scores).map(rounded),
    measure,
    values: evenly(values, MOST.queries).map(rounded),
    texts: evenly(texts, MOST.queries).map((text) =>
      text.length > MOST.letters ? `${text.slice(0, MOST.letters - 1)}…` : text,
    ),
  };
}

/**
 * Of pairs with a score: those in the upper half of the scores' range belong together. A pair fares well where its rank by
 * the model is its rank by score.
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

function evenly<Each>(all: readonly Each[], most: number): Each[] {
  const step = Math.max(1, all.length / most);
  return Array.from({ length: Math.min(most, all.length) }, (_, i) => all[Math.floor(i * step)]!);
}

const rounded = (value: number): number => Number(value.toPrecision(4));
