import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { dot, unitVector } from "../tasks/vectors.ts";

const SEED = 0;
/** Rounds of k-means. Few vectors change their cluster after these. */
const ROUNDS = 15;

/**
 * Chooses the rows that teach most if they are labelled next: rows that differ from each other, and about which a model is uncertain.
 * Divides the rows into `count` clusters by k-means, weighted by doubt, and takes the row in the middle of each cluster (Zhdanov 2019,
 * "Diverse mini-batch Active Learning", arXiv 1901.05954). Deterministic.
 * @param vectors of length 1, one per row
 * @param doubts of each row, 0 or more, such as from {@link doubtOf} (default: all equal, if there is no model yet)
 * @returns indices of rows, sorted by the doubt that they represent; all rows if there are at most `count`
 */
export function suggestRows(
  vectors: readonly Float32Array[],
  count: number,
  doubts: readonly number[] = vectors.map(() => 1),
): number[] {
  // Without any doubt, rows still represent others.
  const weights = doubts.map((doubt) => doubt + 1e-9);
  const centres = firstCentres(vectors, weights, Math.min(count, vectors.length));
  let nearest: Int32Array = nearestCentres(vectors, centres);
  for (let round = 0; round < ROUNDS; round++) {
    moveCentres(centres, vectors, weights, nearest);
    nearest = nearestCentres(vectors, centres);
  }
  const totals = centres.map(() => 0);
  for (const [row, centre] of nearest.entries()) totals[centre]! += weights[row]!;
  const taken = new Set<number>();
  for (const centre of [...centres.keys()].sort((a, b) => totals[b]! - totals[a]!)) {
    let [best, nearness] = [-1, Number.NEGATIVE_INFINITY];
    for (const [row, vector] of vectors.entries()) {
      const found = dot(vector, centres[centre]!);
      if (found > nearness && !taken.has(row)) [best, nearness] = [row, found];
    }
    taken.add(best);
  }
  return [...taken];
}

/** Draws rows by their weight and their distance from those drawn before: k-means++ (Arthur and Vassilvitskii 2007). */
function firstCentres(vectors: readonly Float32Array[], weights: readonly number[], count: number): Float32Array[] {
  const random = xoroshiro128plus(SEED);
  const chances = [...weights];
  const distances = vectors.map(() => 2);
  return Array.from({ length: count }, () => {
    const centre = vectors[drawn(chances, random)]!;
    for (const [row, vector] of vectors.entries()) {
      distances[row] = Math.min(distances[row]!, Math.max(0, 1 - dot(vector, centre)));
      chances[row] = weights[row]! * distances[row]!;
    }
    return centre.slice();
  });
}

function drawn(chances: readonly number[], random: RandomGenerator): number {
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  let left = (uniformInt(random, 0, 0x7fffffff) / 0x80000000) * total;
  const place = chances.findIndex((chance) => {
    left -= chance;
    return left < 0;
  });
  return Math.max(0, place);
}

function nearestCentres(vectors: readonly Float32Array[], centres: readonly Float32Array[]): Int32Array {
  return Int32Array.from(vectors, (vector) => {
    let [best, nearness] = [0, Number.NEGATIVE_INFINITY];
    for (const [place, centre] of centres.entries()) {
      const found = dot(vector, centre);
      if (found > nearness) [best, nearness] = [place, found];
    }
    return best;
  });
}

function moveCentres(
  centres: Float32Array[],
  vectors: readonly Float32Array[],
  weights: readonly number[],
  nearest: Int32Array,
): void {
  const sums = centres.map((centre) => new Float32Array(centre.length));
  for (const [row, vector] of vectors.entries()) {
    const sum = sums[nearest[row]!]!;
    for (let i = 0; i < sum.length; i++) sum[i]! += weights[row]! * vector[i]!;
  }
  for (const [place, sum] of sums.entries()) {
    if (sum.some((value) => value !== 0)) centres[place] = unitVector(sum);
  }
}

/** Uncertainty of class probabilities, which sum to 1: their entropy in nats, from 0 to the logarithm of their number. */
export const doubtOf = (probabilities: Iterable<number>): number =>
  [...probabilities].reduce((sum, share) => (share > 0 ? sum - share * Math.log(share) : sum), 0);
