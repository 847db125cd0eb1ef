import { type Dimension, difference, product } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { cast, reshape, sliceSize, transpose } from "../../graph/ops.ts";
import { KeyCache } from "./key-cache.ts";
import type { Encoded, KeyStream } from "./token-stream.ts";

const ALL = "encoderSequence";
const PAST = "encoderPast";
/** All tokens in the first run, none in later ones. */
const NEW = difference(ALL, PAST);

/**
 * Texts that an encoder has read, for a decoder that generates. `encoder_hidden_states` `[batch, encoderSequence,
 * hidden]` and `encoder_attention_mask` int64 `[batch, encoderSequence]` are inputs. Keys and values are computed in
 * the first run; later runs receive them as inputs and use only the length of the hidden states.
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
 * Like {@link EncodedStream}, for two graphs: one computes keys and values once for a text, the other receives them for
 * every token and reads no hidden states.
 */
export class EncodedOnceStream extends EncodedStream {
  constructor(graph: Graph) {
    super(graph, ALL, ALL);
  }

  override withPast(keys: Value, values: Value): [Value, Value] {
    return this.cache.replace(keys, values);
  }
}
