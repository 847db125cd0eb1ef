import { type Dimension, product, sum } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { matmul, pad, reshape, slice, unpad } from "../../graph/ops.ts";
import { type LengthTable, tableShape } from "../length-table.ts";
import type { SoundWindows } from "../model-parts.ts";
import type { RotaryPositions } from "../rotary.ts";
import { lastTokens, type ReadRows, readRows } from "./read-rows.ts";

/** Input for sounds, by Hugging Face's name. */
export const SAMPLES = "input_values";

export const samplesOf = ({ hop, rest }: SoundWindows, tokens: Dimension): Dimension =>
  sum([product([hop, tokens]), rest]);

/** The texts to which attention attends. */
export interface KeyStream {
  /** Padded length, including a cached past. */
  readonly keys: Dimension;
  /** `[batch, keys]`, 1 at real tokens and 0 at padding. */
  readonly attentionMask: Value;
  /** Splits rows `[tokens, heads*size]` → `[batch, heads, sequence, size]`; values at padding are arbitrary. */
  splitHeads(rows: Value, heads: number): Value;
  /**
   * Returns the keys and values of these tokens, `[batch, heads, sequence, size]`, after those of a cached past,
   * `[batch, heads, keys, size]`. Each attention of a model calls this once, in the same order.
   */
  withPast(keys: Value, values: Value): [Value, Value];
}

/** Options of causal attention. */
export interface AttendedHeads {
  /** Number of query heads. */
  heads: number;
  /** Number of key and value heads, each shared by the same number of query heads. */
  keyValueHeads: number;
  /** Scale of the scores. */
  scale: number;
  /** Number of tokens to attend to, itself included (default: all). */
  window?: number | undefined;
  /** Soft cap of the scores (default: none). */
  cap?: number | undefined;
  /** Rotary positions of queries and keys (default: none). */
  rotary?: RotaryPositions | undefined;
}

/** The encoder's output for the decoder. */
export interface Encoded {
  /** Hidden states of tokens whose keys and values are not cached yet, `[tokens, hidden]`. */
  hidden: Value;
  tokens: KeyStream;
}

/**
 * The texts of a batch as a model reads them. Hidden states are flat rows, one for each token. Only operations across
 * tokens, such as attention, pad them.
 */
export interface TokenStream extends KeyStream {
  /** Number of rows. */
  readonly tokens: Dimension;
  /** Padded length of the examples. */
  readonly sequence: Dimension;
  /** `[tokens]` int32, like the next two. */
  readonly inputIds: Value;
  readonly tokenTypeIds: Value;
  /** For models that read sounds: the number of samples that gives each sound's tokens, `[batch, samples]`. */
  samples(windows: SoundWindows): Value;
  /** Position of each row in its example, from 0. */
  readonly positionIds: Value;
  /**
   * Position of each token in its text, from 0, float32 `[rows, sequence]`, and of each token to which it attends,
   * `[rows, keys]`; `rows` is `batch`, or 1 if all texts begin at the same position.
   */
  readonly positions: Value;
  readonly keyPositions: Value;
  /**
   * Causal attention of rows `[tokens, heads*size]` and `[tokens, keyValueHeads*size]`, which returns rows. If a stream
   * does not define it, `attention` writes it.
   */
  attend?(query: Value, key: Value, value: Value, heads: AttendedHeads): Value;
  /** Joins heads: `[batch, heads, sequence, size]` → rows `[tokens, heads*size]`. */
  joinHeads(padded: Value): Value;
  /** Pads rows `[tokens, width]` → `[batch, sequence, width]`, zeros at padding. */
  pad(rows: Value): Value;
  /** Drops padding: `[batch, sequence, width]` → rows `[tokens, width]`. */
  unpad(padded: Value): Value;
  /** Selects each example's first token, `[batch, width]`. */
  first(rows: Value): Value;
  /** Selects each example's last token, `[batch, width]`. */
  last(rows: Value): Value;
  /** Selects the tokens with outputs, `[outputRows, width]`. */
  outputRows(rows: Value): Value;
  /** Returns a table for the batch's length. */
  table(name: string, table: LengthTable): Value;
}

/** Inputs of a `RaggedStream` besides ids, collected while a model is written. */
export interface StreamInputs {
  /** Prefix of its leaves' names: empty, or `decoder.`. */
  prefix: string;
  /** Numbers of heads into which rows are split. */
  heads: Set<number>;
  tables: Map<string, LengthTable>;
}

/**
 * Rows of real tokens only, example after example, for training and prediction. Padding and its inverse look up rows by
 * index inputs; each is the other's gradient.
 */
export class RaggedStream implements TokenStream {
  readonly tokens: Dimension;
  readonly sequence: Dimension;
  readonly inputs: StreamInputs;
  readonly #graph: Graph;

  constructor(graph: Graph, prefix = "", sequence: Dimension = `${prefix}sequence`) {
    this.#graph = graph;
    this.inputs = { prefix, heads: new Set(), tables: new Map() };
    this.tokens = `${prefix}tokens`;
    this.sequence = sequence;
  }

  get inputIds(): Value {
    return this.#indices("inputIds", [this.tokens]);
  }

  get tokenTypeIds(): Value {
    return this.#indices("tokenTypeIds", [this.tokens]);
  }

  get positionIds(): Value {
    return this.#indices("positionIds", [this.tokens]);
  }

  samples(windows: SoundWindows): Value {
    return this.#graph.leaf("input", SAMPLES, "float32", ["batch", samplesOf(windows, this.sequence)]);
  }

  get keys(): Dimension {
    return this.sequence;
  }

  get positions(): Value {
    return reshape(this.table("positions", POSITIONS), [1, this.sequence]);
  }

  get keyPositions(): Value {
    return this.positions;
  }

  get attentionMask(): Value {
    return this.#graph.leaf("input", `${this.inputs.prefix}attentionMask`, "float32", ["batch", this.sequence]);
  }

  splitHeads(rows: Value, heads: number): Value {
    const size = (rows.shape[1] as number) / heads;
    return pad(reshape(rows, [product([heads, this.tokens]), size]), ...this.#paddedLayout(heads));
  }

  joinHeads(padded: Value): Value {
    const [, heads, , size] = padded.shape as [Dimension, number, Dimension, number];
    return reshape(unpad(padded, ...this.#paddedLayout(heads)), [this.tokens, heads * size]);
  }

  withPast(keys: Value, values: Value): [Value, Value] {
    return [keys, values];
  }

  pad(rows: Value): Value {
    const width = rows.shape[1]!;
    return reshape(pad(rows, ...this.#paddedLayout(1), { zeros: true }), ["batch", this.sequence, width]);
  }

  unpad(padded: Value): Value {
    return unpad(reshape(padded, ["batch", 1, this.sequence, padded.shape[2]!]), ...this.#paddedLayout(1));
  }

  first(rows: Value): Value {
    return this.#read(rows, "firstRows", "batch", (scores) => slice(scores, 2, 0, 1));
  }

  last(rows: Value): Value {
    const isLast = reshape(lastTokens(this.attentionMask), ["batch", 1, 1, this.sequence]);
    return this.#read(rows, "lastRows", "batch", (scores) => matmul(isLast, scores));
  }

  outputRows(rows: Value): Value {
    return this.#read(rows, OUTPUT_ROWS, OUTPUT_ROWS);
  }

  table(name: string, table: LengthTable): Value {
    const full = this.inputs.prefix + name;
    this.inputs.tables.set(full, table);
    return this.#graph.leaf("input", full, table.dtype, tableShape(table, this.sequence));
  }

  #paddedLayout(heads: number): [Value, Value] {
    this.inputs.heads.add(heads);
    return [
      this.#indices(`paddedRows.${heads}`, ["batch", heads, this.sequence]),
      this.#indices(`rowPositions.${heads}`, [product([heads, this.tokens])]),
    ];
  }

  /** Selects rows. Their gradient goes back by the inverse index, and zeros to all others. */
  #read(rows: Value, name: string, count: Dimension, queries?: ReadRows["queries"]): Value {
    const select = (all: Value): Value =>
      unpad(all, this.#indices(`${name}.inverse`, [this.tokens]), this.#indices(name, [count]));
    const read = { name: this.inputs.prefix + name, all: this.tokens, count, select };
    return readRows(rows, queries ? { ...read, queries } : read);
  }

  #indices(name: string, shape: Dimension[]): Value {
    return this.#graph.leaf("input", this.inputs.prefix + name, "int32", shape);
  }
}

const POSITIONS: LengthTable = { dtype: "float32", axes: ["position"], value: (position) => position! };

export const OUTPUT_ROWS = "outputRows";
