import { product } from "../graph/dimension.ts";
import type { Value } from "../graph/graph.ts";
import { add, matmul, mul, relu, reshape, rotate, sign, softmax, sub, tanh } from "../graph/ops.ts";
import type { ForwardContext } from "./forward-context.ts";
import { rotaryAngles } from "./rotary.ts";
import { readQueries, withRowRule } from "./streams/read-rows.ts";
import type { AttendedHeads, KeyStream, TokenStream } from "./streams/token-stream.ts";

/** Returns the mask to add to attention scores: 0 at real tokens, and at padding so low that the probability is 0. */
export function maskBias({ attentionMask, keys }: KeyStream): Value {
  return reshape(mul(sub(attentionMask, 1), 1e30), ["batch", 1, 1, keys]);
}

/**
 * Like {@link maskBias}, for causal attention of a text to itself.
 * @param window number of tokens to attend to, itself included (default: all)
 * @returns `[rows, 1, sequence, keys]`, which broadcasts to `[batch, heads, sequence, keys]`
 */
export function causalBias(tokens: TokenStream, window?: number): Value {
  const { sequence, keys } = tokens;
  const [own, seen] = [tokens.positions, tokens.keyPositions];
  const before = sub(reshape(own, [own.shape[0]!, 1, sequence, 1]), reshape(seen, [seen.shape[0]!, 1, 1, keys]));
  const isPositive = (x: Value): Value => relu(sign(x));
  const later = isPositive(sub(0, before));
  const hidden = window === undefined ? later : add(later, isPositive(sub(before, window - 1)));
  return add(maskBias(tokens), mul(hidden, -1e30));
}

/** Options of `attention`. */
export interface AttentionOptions {
  /** Number of query heads. */
  heads: number;
  /** Number of key and value heads, each shared by the same number of query heads (default: `heads`). */
  keyValueHeads?: number;
  /** Added to the scaled scores `[batch, heads, queries, keys]`, broadcast. */
  bias: Value;
  dropout: number;
  /** Scale of the scores (default: one over the square root of the head size). */
  scale?: number | undefined;
  /** Soft cap of the scores, applied before the bias: `cap · tanh(score / cap)`. */
  cap?: number | undefined;
}

/**
 * Causal {@link attention}, in which each token attends to itself and earlier ones as in {@link causalBias}.
 * @param query rows `[tokens, heads*size]`
 * @param window number of tokens to attend to, itself included (default: all)
 * @param rotary rotary positions of queries and keys (default: none)
 * @returns rows `[tokens, heads*size]`
 */
export function causalAttention(
  context: ForwardContext,
  { query, key, value }: { query: Value; key: Value; value: Value },
  tokens: TokenStream,
  { window, rotary, ...options }: Omit<AttentionOptions, "bias"> & Pick<AttendedHeads, "window" | "rotary">,
): Value {
  const { heads, keyValueHeads = heads, scale, cap } = options;
  if (tokens.attend) {
    const factor = scale ?? 1 / Math.sqrt((query.shape[1] as number) / heads);
    return tokens.attend(query, key, value, { heads, keyValueHeads, scale: factor, window, cap, rotary });
  }
  const angles = rotary && rotaryAngles(tokens.positionIds, rotary);
  const rotated = (x: Value, count: number): Value => (angles ? rotate(x, ...angles, count) : x);
  const operands = { query: rotated(query, heads), key: rotated(key, keyValueHeads), value };
  return attention(context, operands, { queries: tokens }, { ...options, bias: causalBias(tokens, window) });
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
  { queries, keys = queries }: { queries: TokenStream; keys?: KeyStream },
  { heads, keyValueHeads = heads, bias, dropout, scale, cap }: AttentionOptions,
): Value {
  const size = (query.shape[1] as number) / heads;
  const groups = heads / keyValueHeads;
  const [k, v] = keys.withPast(keys.splitHeads(key, keyValueHeads), keys.splitHeads(value, keyValueHeads));
  const attend = (rows: Value, layout: QueryLayout, masks: { bias: Value; dropped: Value | undefined }): Value => {
    // Query heads that share a key head are adjacent: to the key they are one head with more queries.
    const grouped = (x: Value): Value =>
      reshape(x, ["batch", keyValueHeads, product([groups, layout.sequence]), x.shape.at(-1)!]);
    const ungrouped = (x: Value): Value => reshape(x, ["batch", heads, layout.sequence, x.shape.at(-1)!]);
    const q = grouped(layout.splitHeads(rows, heads));
    const scores = ungrouped(matmul(q, k, { transB: true, alpha: scale ?? 1 / Math.sqrt(size) }));
    const capped = cap === undefined ? scores : mul(tanh(mul(scores, 1 / cap)), cap);
    const probabilities = softmax(add(capped, masks.bias), masks.dropped);
    return layout.joinHeads(ungrouped(matmul(grouped(probabilities), v)));
  };
  const dropped = context.scoreMask(["batch", heads, queries.sequence, k.shape[2]!], dropout);
  const attended = attend(query, queries, { bias, dropped });
  return withRowRule(attended, (read, rowsOf) => {
    if (!read.queries) return read.select(attended);
    const masks = { bias: readQueries(bias, read), dropped: dropped && readQueries(dropped, read) };
    return attend(rowsOf(query), ONE_QUERY, masks);
  });
}

type QueryLayout = Pick<TokenStream, "sequence" | "splitHeads" | "joinHeads">;

const ONE_QUERY: QueryLayout = {
  sequence: 1,
  splitHeads: (rows, heads) => reshape(rows, ["batch", heads, 1, (rows.shape[1] as number) / heads]),
  joinHeads: (padded) => reshape(padded, ["batch", product(padded.shape.slice(1))]),
};
