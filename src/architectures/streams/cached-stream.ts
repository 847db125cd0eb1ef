import { type Dimension, difference, sum } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { cast, cumulativeSum, expand, reshape, sliceSize, sub } from "../../graph/ops.ts";
import type { LengthTable } from "../length-table.ts";
import { KeyCache } from "./key-cache.ts";
import { PaddedStream } from "./padded-stream.ts";
import { readRows } from "./read-rows.ts";

const KEYS = sum(["past", "sequence"]);
const LAST = difference("sequence", 1);

/**
 * Texts that a decoder continues. `input_ids` `[batch, sequence]` int64 are the new tokens. Keys and values of earlier
 * tokens, `[batch, heads, past, size]`, are inputs, and those of all tokens are outputs for the next run.
 * `attention_mask` `[batch, past+sequence]` int64 is 0 at padding. Texts are padded on the left, so that the last
 * position is the last token of each. Positions are counted from the mask.
 */
export class CachedStream extends PaddedStream {
  override readonly keys = KEYS;
  readonly cache: KeyCache;

  constructor(graph: Graph, maxLength: number, names = "") {
    super(graph, maxLength);
    this.cache = new KeyCache(graph, "past", names);
  }

  override get attentionMask(): Value {
    return cast(this.input("attention_mask", KEYS), "float32");
  }

  protected override get ownMask(): Value {
    return sliceSize(this.attentionMask, 1, "past", "sequence");
  }

  override get keyPositions(): Value {
    return sub(cumulativeSum(this.attentionMask, 1), 1);
  }

  override get positions(): Value {
    return sliceSize(this.keyPositions, 1, "past", "sequence");
  }

  override get positionIds(): Value {
    return reshape(cast(this.positions, "int32"), [this.tokens]);
  }

  override withPast(keys: Value, values: Value): [Value, Value] {
    return this.cache.join(keys, values);
  }

  override last(rows: Value): Value {
    const [, ...width] = rows.shape;
    const padded = reshape(rows, ["batch", "sequence", ...width]);
    return reshape(sliceSize(padded, 1, LAST, 1), ["batch", ...width]);
  }

  /** Returns only the last token of each text, which predicts the next. */
  override outputRows(rows: Value): Value {
    const select = (all: Value): Value => this.last(all);
    const queries = (scores: Value): Value => sliceSize(scores, 2, LAST, 1);
    return readRows(rows, { name: "lastRows", all: this.tokens, count: "batch", select, queries });
  }

  /** A table of queries by keys is cut to the new tokens' rows; one by positions only is looked up by position. */
  protected override cut({ axes }: LengthTable, axis: number): [start: Dimension, size: Dimension] {
    const isQueries = axes.indexOf("position") === axis && axes.lastIndexOf("position") !== axis;
    return isQueries ? ["past", "sequence"] : [0, KEYS];
  }
}

/**
 * Texts that an encoder-decoder generates. All have the same start token and grow by one token at a time, without padding.
 */
export class WrittenStream extends CachedStream {
  constructor(graph: Graph, maxLength: number) {
    super(graph, maxLength, "decoder.");
  }

  override get attentionMask(): Value {
    return expand(this.graph.constant([1], "float32", [1, 1]), ["batch", KEYS]);
  }
}
