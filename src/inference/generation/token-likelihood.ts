/** A token with the logarithm of its probability after what stands before it. */
export interface LikelyToken {
  token: number;
  logProbability: number;
}

/** How likely a token was that was written, by the model's own scores, before any rule changed them. */
export interface TokenLikelihood extends LikelyToken {
  /** The likeliest in its place, the likeliest first. */
  likeliest: readonly LikelyToken[];
}

/**
 * How likely each token is that may be written.
 * @param logits `[vocabulary]`, left as they are
 * @param count of the likeliest to name
 * @returns that of a token
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
