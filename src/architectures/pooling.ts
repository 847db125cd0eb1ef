import type { Value } from "../graph/graph.ts";
import { add, div, mul, reduceSum, sqrt } from "../graph/ops.ts";
import type { TokenStream } from "./streams/token-stream.ts";

/** Pooling modes of a text's token vectors, in sentence-transformers' names. */
export const POOLING_MODES = ["mean", "cls", "lasttoken"] as const;
/** How hidden states become one vector. */
export type PoolingMode = (typeof POOLING_MODES)[number];

/** Pooling after a model that embeds texts. */
export interface Pooling {
  mode: PoolingMode;
  /** Whether vectors are normalised to length 1. */
  normalize: boolean;
  /** Maximum length of a text in tokens, if the folder has one. */
  maxLength?: number | undefined;
  /** Whether a head in the model's folder reads the vector; other tools return its outputs as vectors. */
  scores?: boolean;
}

export const MEAN_POOLING: Pooling = { mode: "mean", normalize: false };

/** Pools rows `[tokens, hidden]` to one vector for each text, `[batch, hidden]`. */
export function writePooling({ mode, normalize }: Pooling, tokens: TokenStream, hidden: Value): Value {
  const pooled =
    mode === "cls" ? tokens.first(hidden) : mode === "lasttoken" ? tokens.last(hidden) : meanOfTokens(tokens, hidden);
  if (!normalize) return pooled;
  return div(pooled, sqrt(add(reduceSum(mul(pooled, pooled), [1], true), 1e-24)));
}

/** Averages each example's tokens, `[batch, hidden]`. */
export function meanOfTokens(tokens: TokenStream, hidden: Value): Value {
  return div(reduceSum(tokens.pad(hidden), [1]), reduceSum(tokens.attentionMask, [1], true));
}
