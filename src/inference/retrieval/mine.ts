import { dot, nearest } from "../../tasks/vectors.ts";

export interface MineOptions {
  /** Ranks, from 0, at which negatives are looked for: from the first up to, but not including, the second. */
  range: readonly [from: number, to: number];
  /** How much less near to the anchor than its positive a negative must be, in cosines. */
  margin: number;
  /** Most negatives of a pair. */
  negatives: number;
  /** Cosine with the positive from which on a text is as good as it, and no negative. */
  duplicate: number;
}

export const MINE_DEFAULTS: MineOptions = { range: [0, 50], margin: 0, negatives: 1, duplicate: 0.95 };

/** A pair with texts that a model takes for answers though they are none. */
export interface MinedPair {
  anchor: string;
  positive: string;
  negatives: string[];
}

/**
 * Texts of a corpus that are near to an anchor but not its positive: hard negatives. What is a positive of an anchor of the
 * same text, the anchor itself, nearer than the margin lets, or as good as the positive is left out.
 * @param pairs with vectors of length 1, as the corpus has
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
