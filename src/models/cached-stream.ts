import { type Dimension, difference, sum } from "../graph/dimension.ts";
import type { Value } from "../graph/graph.ts";
import { cast, concat, cumulativeSum, reshape, sliceSize, sub } from "../graph/ops.ts";
import type { LengthTable } from "./length-table.ts";
import { PaddedStream } from "./padded-stream.ts";

const KEYS = sum(["past", "sequence"]);

/** Names of the input and of the output that hold a block's keys or values, as ONNX exports of Hugging Face's models call them. */
export const pastName = (block: number, part: "key" | "value"): string => `past_key_values.${block}.${part}`;
export const presentName = (block: number, part: "key" | "value"): string => `present.${block}.${part}`;

/**
 * Texts that a decoder reads on: `input_ids` `[batch, sequence]` int64 are what comes after what it has read, whose keys and
 * values `[batch, heads, past, size]` are inputs, and with those of the new tokens outputs for the next run.
 * `attention_mask` `[batch, past+sequence]` int64 is 0 at places that hold no token: texts stand at the right, so that the
 * last place is the last token of each. Positions are counted from the mask.
 */
export class CachedStream extends PaddedStream {
  override readonly keys = KEYS;
  /** Keys and values `[batch, heads, past+sequence, size]` by name of output. */
  readonly present: Record<string, Value> = {};
  /** The inputs that they are in the next run, by name. */
  readonly past: Record<string, Value> = {};
  #blocks = 0;

  override get attentionMask(): Value {
    return cast(this.input("attention_mask", KEYS), "float32");
  }

  protected override get ownMask(): Value {
    return sliceSize(this.attentionMask, 1, "past", "sequence");
  }

  override get keyPlaces(): Value {
    return sub(cumulativeSum(this.attentionMask, 1), 1);
  }

  override get places(): Value {
    return sliceSize(this.keyPlaces, 1, "past", "sequence");
  }

  override get positionIds(): Value {
    return reshape(cast(this.places, "int32"), [this.tokens]);
  }

  override withPast(keys: Value, values: Value): [Value, Value] {
    const block = this.#blocks++;
    return [this.#after(block, "key", keys), this.#after(block, "value", values)];
  }

  #after(block: number, part: "key" | "value", own: Value): Value {
    const [, heads, , size] = own.shape as Dimension[];
    const name = pastName(block, part);
    const past = this.graph.leaf("input", name, "float32", ["batch", heads!, "past", size!]);
    this.past[name] = past;
    const present = concat([past, own], 2);
    this.present[presentName(block, part)] = present;
    return present;
  }

  /** The last place. */
  override last(rows: Value): Value {
    const width = rows.shape[1]!;
    const padded = reshape(rows, ["batch", "sequence", width]);
    return reshape(sliceSize(padded, 1, difference("sequence", 1), 1), ["batch", width]);
  }

  /** Of each text the last token alone: what comes next is asked of it. */
  override outputRows(rows: Value): Value {
    return this.last(rows);
  }

  /** A table of queries by keys has the new tokens' rows; one by positions alone is looked up by them. */
  protected override cut({ axes }: LengthTable, axis: number): [start: Dimension, size: Dimension] {
    const isQueries = axes.indexOf("position") === axis && axes.lastIndexOf("position") !== axis;
    return isQueries ? ["past", "sequence"] : [0, KEYS];
  }
}
