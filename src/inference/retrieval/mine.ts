import { dot, nearest } from "../../tasks/vectors.ts";

export interface MineOptions {
  /** Range of ranks, from 0, to search for negatives: from the first up to, but not including, the second. */
  range: readonly [from: number, to: number];
  /** Smallest difference between the positive's and a negative's cosine with the anchor. */
  margin: number;
  negatives: number;
  /** Cosine with the positive from which on a text counts as a duplicate of it rather than a negative. */
  duplicate: number;
}

export const MINE_DEFAULTS: MineOptions = { range: [0, 50], margin: 0, negatives: 1, duplicate: 0.95 };

export interface MinedPair {
  anchor: string;
  positive: string;
  negatives: string[];
}

/**
 * Mines hard negatives: texts of a corpus that are close to an anchor but not its positive. The anchor itself, positives of an equal
 * anchor, duplicates of the positive and texts closer than the margin allows are left out.
 */
export function mineNegatives(
  pairs: readonly { anchor: string; positive: string; anchorVector: Float32Array; positiveVector: Float32Array }[],
  corpus: readonly { text: string; vector: Float32Array }[],
  { range: [from, to], margin, negatives, duplicate }: MineOptions,
): MinedPair[] {
  const positives = new Map<string, Set<string>>();
  for (const { anchor, positive } of pairs) {
    positives.set(anchor, (positives.get(anchor) ?? new Set([anchor])).add(positive));
  }
  const vectors = corpus.map(({ vector }) => vector);
  return pairs.map(({ anchor, positive, anchorVector, positiveVector }) => {
    const own = positives.get(anchor)!;
    const limit = dot(anchorVector, positiveVector) - margin;
    const candidates = nearest(anchorVector, vectors, to, (index) => own.has(corpus[index]!.text)).slice(from);
    const hard = candidates.filter(
      ({ index, score }) => score <= limit && dot(positiveVector, vectors[index]!) < duplicate,
    );
    return { anchor, positive, negatives: hard.slice(0, negatives).map(({ index }) => corpus[index]!.text) };
  });
}
