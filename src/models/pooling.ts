import type { Value } from "../graph/graph.ts";
import { add, div, mul, reduceSum, sqrt } from "../graph/ops.ts";
import type { TokenStream } from "./streams/token-stream.ts";

/** How the vectors of a text's tokens become one, in sentence-transformers' names. */
export const POOLING_MODES = ["mean", "cls", "lasttoken"] as const;
export type PoolingMode = (typeof POOLING_MODES)[number];

/** What stands behind a model that embeds texts. */
export interface Pooling {
  mode: PoolingMode;
  /** Whether vectors get length 1. */
  normalize: boolean;
  /** Most tokens of a text, where the folder says so. */
  maxLength?: number | undefined;
  /** Whether a head reads the vector in the model's folder, whose outputs other tools give as vectors. */
  scores?: boolean;
}

/** Of folders that say nothing. */
export const MEAN_POOLING: Pooling = { mode: "mean", normalize: false };

/** Rows of a text's tokens, `[tokens, hidden]`, as one vector for each text, `[batch, hidden]`. */
export function writePooling({ mode, normalize }: Pooling, tokens: TokenStream, hidden: Value): Value {
  const pooled =
    mode === "cls" ? tokens.first(hidden) : mode === "lasttoken" ? tokens.last(hidden) : meanOfTokens(tokens, hidden);
  if (!normalize) return pooled;
  return div(pooled, sqrt(add(reduceSum(mul(pooled, pooled), [1], true), 1e-24)));
}

/** Mean over an example's tokens, `[batch, hidden]`. */
export function meanOfTokens(tokens: TokenStream, hidden: Value): Value {
  return div(reduceSum(tokens.pad(hidden), [1]), reduceSum(tokens.attentionMask, [1], true));
}
