import type { LikelyToken, TokenLikelihood } from "../inference/generation/token-likelihood.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";

/** Lower limit of log probabilities: JSON has no infinity. */
const LEAST = -9999;

/** A token in the form of OpenAI's API. */
interface ShownToken {
  token: string;
  logprob: number;
  /** Null if the token has no text. */
  bytes: number[] | null;
}

export interface ShownLikelihood extends ShownToken {
  top_logprobs: ShownToken[];
}

/** Likelihoods of an answer's tokens, without tokens that have no text, such as the end token. */
export function shownLikelihoods(
  tokens: readonly TokenLikelihood[],
  bytes: readonly (Uint8Array | undefined)[],
  tokenizer: Tokenizer,
): ShownLikelihood[] {
  const shown = ({ token, logProbability }: LikelyToken): ShownToken => {
    const own = bytes[token];
    return {
      token: own ? Buffer.from(own).toString("utf8") : tokenizer.decode([token]),
      logprob: Math.max(logProbability, LEAST),
      bytes: own ? [...own] : null,
    };
  };
  return tokens
    .filter(({ token }) => bytes[token])
    .map((each) => ({ ...shown(each), top_logprobs: each.likeliest.map(shown) }));
}

/** Likelihoods in the form of completions: parallel lists. */
export function completionLogprobs(tokens: readonly ShownLikelihood[]): object {
  let offset = 0;
  const offsets = tokens.map(({ token }) => {
    offset += token.length;
    return offset - token.length;
  });
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map((each) =>
      Object.fromEntries(each.top_logprobs.map(({ token, logprob }) => [token, logprob])),
    ),
    text_offset: offsets,
  };
}
