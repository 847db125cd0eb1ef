import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { UserError } from "../../errors.ts";
import type { GenerationOptions } from "./generation-options.ts";

/** The likeliest token by scores `[vocabulary]`; the first if several are equal. */
export function likeliest(scores: Float32Array): number {
  let [best, most] = [0, scores[0]!];
  for (let i = 1; i < scores.length; i++) {
    if (scores[i]! > most) [best, most] = [i, scores[i]!];
  }
  return best;
}

/** @throws UserError if the score of the chosen token is NaN or an infinity, which all others have then, too */
export function refuseOverflow(score: number): void {
  if (score < Number.POSITIVE_INFINITY) return;
  throw new UserError(
    "the model's scores of the next token are not finite; check the weights and the settings of the model and its adapter",
  );
}

/**
 * Samples a token: scores are divided by the temperature, the `topK` highest are kept, then the likeliest with a total
 * probability of `topP` (Holtzman et al., arXiv 1904.09751), as in transformers. The vocabulary is sorted only to
 * find the `topK`.
 * @param scores `[vocabulary]`
 */
export function drawToken(
  scores: Float32Array,
  { temperature, topK, topP }: Pick<GenerationOptions, "temperature" | "topK" | "topP">,
  random: RandomGenerator,
): number {
  // Tokens as likely as the last of the `topK` are also kept.
  const least = topK > 0 && topK < scores.length ? scores.toSorted()[scores.length - topK]! : Number.NEGATIVE_INFINITY;
  const highest = scores[likeliest(scores)]!;
  const weights = new Float64Array(scores.length);
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! >= least) weights[i] = Math.exp((scores[i]! - highest) / temperature);
  }
  if (topP < 1) keepNucleus(weights, topP);
  let left = uniformFloat64(random) * sum(weights);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    left -= weights[i]!;
    if (left < 0) return i;
    last = i;
  }
  return last;
}

/** Keeps the likeliest tokens whose weights make up the share `topP` of the total, at least one; the others get weight 0. */
function keepNucleus(weights: Float64Array, topP: number): void {
  const enough = topP * sum(weights);
  // The total of all smaller weights is less than the share to drop, so they need not be sorted.
  const least = ((1 - topP) * sum(weights)) / weights.length;
  const descending: { token: number; weight: number }[] = [];
  weights.forEach((weight, token) => {
    if (weight >= least) descending.push({ token, weight });
  });
  descending.sort((a, b) => b.weight - a.weight);
  weights.fill(0);
  let reached = 0;
  for (const { token, weight } of descending) {
    weights[token] = weight;
    reached += weight;
    if (reached >= enough) return;
  }
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
