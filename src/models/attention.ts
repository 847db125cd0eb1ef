import type { Dimension } from "../graph/dimension.ts";
import type { Value } from "../graph/graph.ts";
import { add, matmul, mul, reshape, softmax, sub, transpose } from "../graph/ops.ts";
import { type ForwardContext, TOKENS } from "./forward-context.ts";

/** `[batch*sequence, heads*size]` as `[sequence, batch, heads, size]`, which products take as it is stored. */
export function splitHeads(x: Value, heads: number): Value {
  return reshape(x, ["sequence", "batch", heads, (x.shape[1] as number) / heads]);
}

/** `[batch, heads, sequence, size]` back to `[batch*sequence, heads*size]`. */
export function joinHeads(x: Value): Value {
  const [, heads, , size] = x.shape as Dimension[];
  return reshape(transpose(x, [2, 0, 1, 3]), [TOKENS, (heads as number) * (size as number)]);
}

/** What is added to attention scores: 0 at real tokens, and so little at padding that its probability is exactly 0. */
export function maskBias(attentionMask: Value): Value {
  return reshape(mul(sub(attentionMask, 1), 1e30), ["batch", 1, 1, "sequence"]);
}

/**
 * Scaled dot-product attention. `query`, `key`, `value` `[batch*sequence, heads*size]` → the same shape.
 * @param bias added to the scaled scores `[batch, heads, sequence, sequence]`, broadcast.
 */
export function attention(
  context: ForwardContext,
  { query, key, value }: { query: Value; key: Value; value: Value },
  { heads, bias, dropout, scale }: { heads: number; bias: Value; dropout: number; scale?: number },
): Value {
  const size = (query.shape[1] as number) / heads;
  const scores = matmul(splitHeads(query, heads), splitHeads(key, heads), {
    transBatchA: true,
    transBatchB: true,
    transB: true,
    alpha: scale ?? 1 / Math.sqrt(size),
  });
  const probabilities = context.attentionDropout(softmax(add(scores, bias)), dropout);
  return joinHeads(matmul(probabilities, splitHeads(value, heads), { transBatchB: true }));
}
