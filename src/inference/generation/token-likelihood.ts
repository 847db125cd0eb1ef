/** A token with the logarithm of its probability, given the tokens before it. */
export interface LikelyToken {
  token: number;
  logProbability: number;
}

/** Likelihood of a generated token by the model's own scores, before any processor changed them. */
export interface TokenLikelihood extends LikelyToken {
  /** Likeliest tokens at this position, likeliest first. */
  likeliest: readonly { token: number; logProbability: number }[];
}

/**
 * Likelihoods of all tokens at one position.
 * @param logits `[vocabulary]`, not changed
 * @param count number of likeliest tokens to list
 * @returns function that returns the likelihood of a token
 */
export function likelihoods(logits: Float32Array, count: number): (token: number) => TokenLikelihood {
  const own = logits.slice();
  const highest = own.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  const shift = highest + Math.log(own.reduce((sum, value) => sum + Math.exp(value - highest), 0));
  const shown = (token: number): LikelyToken => ({ token, logProbability: own[token]! - shift });
  const descending = count > 0 ? Uint32Array.from(own.keys()).sort((a, b) => own[b]! - own[a]! || a - b) : [];
  const likeliest = Array.from(descending.slice(0, count), shown);
  return (token) => ({ ...shown(token), likeliest });
}
