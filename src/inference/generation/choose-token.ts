import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { GenerationOptions } from "./generation-options.ts";

/** The likeliest token of scores `[vocabulary]`; the first of several. */
export function likeliest(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}

/**
 * Draws a token: scores are divided by the temperature, the `topK` highest are kept, then the likeliest that together have
 * probability `topP` (Holtzman et al., arXiv 1904.09751), as transformers does.
 * @param scores `[vocabulary]`
 */
export function drawToken(
  scores: Float32Array,
  { temperature, topK, topP }: Pick<GenerationOptions, "temperature" | "topK" | "topP">,
  random: RandomGenerator,
): number {
  const tokens = Uint32Array.from(scores.keys()).filter((token) => scores[token]! > Number.NEGATIVE_INFINITY);
  tokens.sort((a, b) => scores[b]! - scores[a]!);
  const kept = topK > 0 ? tokens.subarray(0, withTies(scores, tokens, topK)) : tokens;
  const highest = scores[kept[0]!]!;
  const weights = Float64Array.from(kept, (token) => Math.exp((scores[token]! - highest) / temperature));
  const count = topP < 1 ? nucleus(weights, topP) : weights.length;
  const candidates = weights.subarray(0, count);
  let left = uniformFloat64(random) * sum(candidates);
  const chosen = candidates.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return kept[chosen < 0 ? count - 1 : chosen]!;
}

/** Tokens as likely as the last of the `topK` stay, too. */
function withTies(scores: Float32Array, descending: Uint32Array, topK: number): number {
  let count = Math.min(topK, descending.length);
  while (count < descending.length && scores[descending[count]!] === scores[descending[topK - 1]!]) count++;
  return count;
}

/** How many of the descending weights come to the share `topP` of their sum: one at least. */
function nucleus(weights: Float64Array, topP: number): number {
  const enough = topP * sum(weights);
  let reached = 0;
  for (let count = 0; count < weights.length; count++) {
    reached += weights[count]!;
    if (reached >= enough) return count + 1;
  }
  return weights.length;
}

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
