import type { Dimension } from "../graph/dimension.ts";
import type { Value } from "../graph/graph.ts";
import { add, matmul, mul, reshape, softmax, sub } from "../graph/ops.ts";
import type { ForwardContext } from "./forward-context.ts";
import type { TokenStream } from "./token-stream.ts";

/** What is added to attention scores: 0 at real tokens, and so little at padding that its probability is exactly 0. */
export function maskBias({ attentionMask, sequence }: TokenStream): Value {
  return reshape(mul(sub(attentionMask, 1), 1e30), ["batch", 1, 1, sequence]);
}

/**
 * Likewise where every token sees itself and those before it alone. `queries` and keys are the same text.
 * @returns `[batch, 1, sequence, sequence]`
 */
export function causalBias(tokens: TokenStream): Value {
  const { sequence } = tokens;
  const later = tokens.table("causalBias", {
    dtype: "float32",
    axes: ["position", "position"],
    value: (query, key) => (key! <= query! ? 0 : -1e30),
  });
  return add(maskBias(tokens), reshape(later, [1, 1, sequence, sequence]));
}

export interface AttentionOptions {
  /** Heads of the queries. */
  heads: number;
  /** Heads of the keys and values, each of which serves as many query heads; as many where absent. */
  keyValueHeads?: number;
  /** Added to the scaled scores `[batch, heads, queries, keys]`, broadcast. */
  bias: Value;
  dropout: number;
  /** Factor of the scores; one over the root of a head's size where absent. */
  scale?: number;
}

/**
 * Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) with grouped heads (Ainslie et al., arXiv 2305.13245).
 * @param query rows `[tokens, heads*size]` of `queries`
 * @param key rows `[tokens, keyValueHeads*size]` of `keys`, as is `value`
 * @returns rows `[tokens, heads*size]` of `queries`
 */
export function attention(
  context: ForwardContext,
  { query, key, value }: { query: Value; key: Value; value: Value },
  { queries, keys = queries }: { queries: TokenStream; keys?: TokenStream },
  { heads, keyValueHeads = heads, bias, dropout, scale }: AttentionOptions,
): Value {
  const size = (query.shape[1] as number) / heads;
  const groups = heads / keyValueHeads;
  // Query heads that share a key head stand beside each other, and the key is broadcast over them.
  const grouped = (x: Value, of: number, length: Dimension): Value =>
    groups === 1 ? x : reshape(x, ["batch", keyValueHeads, of, length, x.shape.at(-1)!]);
  const k = grouped(keys.splitHeads(key, keyValueHeads), 1, keys.sequence);
  const v = grouped(keys.splitHeads(value, keyValueHeads), 1, keys.sequence);
  const q = grouped(queries.splitHeads(query, heads), groups, queries.sequence);
  const scores = reshape(matmul(q, k, { transB: true, alpha: scale ?? 1 / Math.sqrt(size) }), [
    "batch",
    heads,
    queries.sequence,
    keys.sequence,
  ]);
  const probabilities = context.dropout(softmax(add(scores, bias)), dropout);
  const attended = matmul(grouped(probabilities, groups, queries.sequence), v);
  return queries.joinHeads(reshape(attended, ["batch", heads, queries.sequence, size]));
}
