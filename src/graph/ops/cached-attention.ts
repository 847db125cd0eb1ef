import { sameShape } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, MICROSOFT, requireType } from "./define.ts";

/** Numbers of query heads and of key and value heads, and what changes the scores: 0 means no `window`, no `cap`. */
export type Heads = { heads: number; keyValueHeads: number; scale: number; window: number; cap: number };

type Required = [
  query: Value,
  key: Value,
  value: Value,
  pastKeys: Value,
  pastValues: Value,
  last: Value,
  longest: Value,
];

const GROUPED_QUERY_ATTENTION = define<[...Required, ...turns: Value[]], Heads>({
  name: "GroupQueryAttention",
  infer(inputs, { heads, keyValueHeads }) {
    const [query, key, value, pastKeys, pastValues, last, longest, ...turns] = inputs;
    requireType("GroupQueryAttention", [query, key, value, pastKeys, pastValues, ...turns], ["float32"]);
    requireType("GroupQueryAttention", [last, longest], ["int32"]);
    const [batch, sequence, width] = query.shape;
    const size = (width as number) / heads;
    const fits =
      sameShape(key.shape, [batch!, sequence!, keyValueHeads * size]) &&
      sameShape(value.shape, key.shape) &&
      sameShape(pastKeys.shape, pastValues.shape) &&
      pastKeys.shape[1] === keyValueHeads &&
      pastKeys.shape[3] === size;
    if (!fits)
      fail("GroupQueryAttention", inputs, "takes [batch, sequence, heads*size] and [batch, heads, room, size]");
    return [query, pastKeys, pastValues].map(({ dtype, shape }) => ({ dtype, shape }));
  },
  onnx({ inputs, attributes: { heads, keyValueHeads, scale, window, cap }, outputs }, emitter) {
    emitter.emit("GroupQueryAttention", inputs, {
      domain: MICROSOFT,
      attributes: {
        num_heads: heads,
        kv_num_heads: keyValueHeads,
        scale: { float: scale },
        ...(inputs.length > 7 && { do_rotary: 1 }),
        ...(window > 0 && { local_window_size: window }),
        ...(cap > 0 && { softcap: { float: cap } }),
      },
      outputs,
    });
  },
});

/** Operands of {@link cachedAttention}. */
export interface CachedOperands {
  /** `[batch, sequence, heads*size]` */
  query: Value;
  /** `[batch, sequence, keyValueHeads*size]`, as is `value`. */
  key: Value;
  value: Value;
  /** Keys and values of earlier tokens, `[batch, keyValueHeads, room, size]`; each text begins at position 0. */
  pastKeys: Value;
  pastValues: Value;
  /** Position of each text's last token, int32 `[batch]`. */
  last: Value;
  /** Length of the longest text in tokens, int32 `[1]`. */
  longest: Value;
  /** Rotary cosines and sines by position, `[positions, pairs]` each (default: queries and keys are already rotated). */
  rotary?: readonly [cosine: Value, sine: Value] | undefined;
}

/**
 * Attention of each token to itself and earlier ones, with a cache of keys and values that need not be full. Keys and values of the new
 * tokens are appended (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention). A
 * batch of several texts takes one new token each; a single text takes any number. No gradient flows.
 * @returns `[batch, sequence, heads*size]`, and the caches with the new keys and values
 */
export function cachedAttention(
  { query, key, value, pastKeys, pastValues, last, longest, rotary }: CachedOperands,
  heads: Heads,
): [attended: Value, keys: Value, values: Value] {
  const operands: Required = [query, key, value, pastKeys, pastValues, last, longest];
  const attended = query.graph.apply(GROUPED_QUERY_ATTENTION, [...operands, ...(rotary ?? [])], heads);
  const [, keys, values] = attended.node!.outputs;
  return [attended, keys!, values!];
}
