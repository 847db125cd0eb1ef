import { type Dimension, difference, product, sum } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { cast, expand, mul, padTo, reduceSum, reshape, sliceSize, transpose } from "../../graph/ops.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { type LengthTable, makeTable, tableShape } from "../length-table.ts";
import type { SoundWindows } from "../model-parts.ts";
import { lastTokens } from "./read-rows.ts";
import { SAMPLES, samplesOf, type TokenStream } from "./token-stream.ts";

const SAMPLES_GIVEN = "samples";

const POSITIONS: LengthTable = { dtype: "int32", axes: ["position"], value: (position) => position! };

/**
 * Texts in the form of other tools: `input_ids` and the like, `[batch, sequence]` int64. All positions are rows,
 * padding included, so padding moves no data. Tables are embedded for the longest text and sliced. The last block computes all
 * rows, because an exported file may become the base model of another head.
 */
export class PaddedStream implements TokenStream {
  readonly tokens: Dimension;
  readonly sequence: Dimension;
  readonly keys: Dimension;
  /** Tables for the longest text, to embed. */
  readonly tables = new Map<string, Tensor>();
  protected readonly graph: Graph;
  readonly #maxLength: number;

  constructor(graph: Graph, maxLength: number, sequence: Dimension = "sequence") {
    this.graph = graph;
    this.#maxLength = maxLength;
    this.tokens = product(["batch", sequence]);
    this.sequence = sequence;
    this.keys = sequence;
  }

  get inputIds(): Value {
    return reshape(cast(this.input("input_ids"), "int32"), [this.tokens]);
  }

  get tokenTypeIds(): Value {
    return reshape(cast(this.input("token_type_ids"), "int32"), [this.tokens]);
  }

  get positionIds(): Value {
    const positions = reshape(this.table("positions", POSITIONS), [1, this.sequence]);
    return reshape(expand(positions, ["batch", this.sequence]), [this.tokens]);
  }

  /** Sounds of any length are truncated, or padded with silence. */
  samples(windows: SoundWindows): Value {
    const wanted = samplesOf(windows, this.sequence);
    const given = this.graph.leaf("input", SAMPLES, "float32", ["batch", SAMPLES_GIVEN]);
    return sliceSize(padTo(given, 1, 0, sum([SAMPLES_GIVEN, wanted])), 1, 0, wanted);
  }

  get positions(): Value {
    return reshape(cast(this.table("positions", POSITIONS), "float32"), [1, this.sequence]);
  }

  get keyPositions(): Value {
    return this.positions;
  }

  get attentionMask(): Value {
    return cast(this.input("attention_mask"), "float32");
  }

  protected get ownMask(): Value {
    return this.attentionMask;
  }

  splitHeads(rows: Value, heads: number): Value {
    const size = (rows.shape[1] as number) / heads;
    return transpose(reshape(rows, ["batch", this.sequence, heads, size]), [0, 2, 1, 3]);
  }

  joinHeads(padded: Value): Value {
    const [, heads, , size] = padded.shape as [string, number, string, number];
    return reshape(transpose(padded, [0, 2, 1, 3]), [this.tokens, heads * size]);
  }

  withPast(keys: Value, values: Value): [Value, Value] {
    return [keys, values];
  }

  pad(rows: Value): Value {
    const mask = reshape(this.ownMask, ["batch", this.sequence, 1]);
    return mul(reshape(rows, ["batch", this.sequence, rows.shape[1]!]), mask);
  }

  unpad(padded: Value): Value {
    return reshape(padded, [this.tokens, padded.shape[2]!]);
  }

  first(rows: Value): Value {
    const width = rows.shape[1]!;
    return reshape(sliceSize(reshape(rows, ["batch", this.sequence, width]), 1, 0, 1), ["batch", width]);
  }

  last(rows: Value): Value {
    const isLast = reshape(lastTokens(this.attentionMask), ["batch", this.sequence, 1]);
    const padded = reshape(rows, ["batch", this.sequence, rows.shape[1]!]);
    return reduceSum(mul(padded, isLast), [1]);
  }

  outputRows(rows: Value): Value {
    return rows;
  }

  table(name: string, table: LengthTable): Value {
    this.tables.set(name, makeTable(table, this.#maxLength));
    const longest = this.graph.leaf("frozen", name, table.dtype, tableShape(table, this.#maxLength));
    return table.axes.reduce<Value>((value, axis, i) => {
      if (axis === "position") return sliceSize(value, i, ...this.cut(table, i));
      // Distances from length down to 1 - length are in the middle of those of a longer text.
      if (axis === "distance") {
        return sliceSize(value, i, difference(this.#maxLength, this.sequence), product([2, this.sequence]));
      }
      return value;
    }, longest);
  }

  /** Returns start and size of the part of a table's position axis that these texts use. */
  protected cut(_table: LengthTable, _axis: number): [start: Dimension, size: Dimension] {
    return [0, this.sequence];
  }

  protected input(name: string, length: Dimension = this.sequence): Value {
    return this.graph.leaf("input", name, "int64", ["batch", length]);
  }
}

/** Pictures or sounds in the form of other tools: all have the same number of rows, without padding. */
export class EvenStream extends PaddedStream {
  constructor(graph: Graph, length: number) {
    super(graph, length, length);
  }

  override get attentionMask(): Value {
    return expand(this.graph.constant([1], "float32", [1, 1]), ["batch", this.sequence]);
  }

  override pad(rows: Value): Value {
    return reshape(rows, ["batch", this.sequence, rows.shape[1]!]);
  }
}
