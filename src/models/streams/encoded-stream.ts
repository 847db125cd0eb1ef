import { type Dimension, difference, product } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { cast, reshape, sliceSize, transpose } from "../../graph/ops.ts";
import { KeyCache } from "./key-cache.ts";
import type { Encoded, KeyStream } from "./token-stream.ts";

const ALL = "encoderSequence";
const PAST = "encoderPast";
/** In the first run all, in those that follow none. */
const NEW = difference(ALL, PAST);

/**
 * Texts that an encoder has read, for a decoder that writes on: `encoder_hidden_states` `[batch, encoderSequence, hidden]` and
 * `encoder_attention_mask` int64 `[batch, encoderSequence]` are inputs. Their keys and values are computed in the first run;
 * the next ones are given them, and take nothing of the hidden states but their length.
 */
export class EncodedStream implements KeyStream {
  readonly keys: Dimension = ALL;
  readonly cache: KeyCache;
  readonly #graph: Graph;
  readonly #fresh: Dimension;

  /**
   * @param past length whose keys and values are inputs
   * @param fresh length whose keys and values are computed
   */
  constructor(graph: Graph, past: Dimension = PAST, fresh: Dimension = NEW) {
    this.#graph = graph;
    this.#fresh = fresh;
    this.cache = new KeyCache(graph, past, "encoder.");
  }

  /** What a decoder sees of hidden states of this width. */
  encoded(width: number): Encoded {
    const all = this.#graph.leaf("input", "encoder_hidden_states", "float32", ["batch", ALL, width]);
    return {
      hidden: reshape(sliceSize(all, 1, 0, this.#fresh), [product(["batch", this.#fresh]), width]),
      tokens: this,
    };
  }

  get attentionMask(): Value {
    return cast(this.#graph.leaf("input", "encoder_attention_mask", "int64", ["batch", ALL]), "float32");
  }

  splitHeads(rows: Value, heads: number): Value {
    const size = (rows.shape[1] as number) / heads;
    return transpose(reshape(rows, ["batch", this.#fresh, heads, size]), [0, 2, 1, 3]);
  }

  withPast(keys: Value, values: Value): [Value, Value] {
    return this.cache.join(keys, values);
  }
}

/**
 * The same as two graphs may be compiled of it: one that computes keys and values, once for a text, and one that is given them
 * at every token and reads no hidden states.
 */
export class EncodedOnceStream extends EncodedStream {
  constructor(graph: Graph) {
    super(graph, ALL, ALL);
  }

  override withPast(keys: Value, values: Value): [Value, Value] {
    return this.cache.replace(keys, values);
  }
}
