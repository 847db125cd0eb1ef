import { type Dimension, product, sum } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { pad, reshape, unpad } from "../../graph/ops.ts";
import { type LengthTable, tableShape } from "../length-table.ts";
import type { SoundWindows } from "../model-parts.ts";
import type { RotaryPositions } from "../rotary.ts";

/** The input that holds sounds, in Hugging Face's name. */
export const SAMPLES = "input_values";

/** How many samples come to so many tokens. */
export const samplesOf = ({ hop, rest }: SoundWindows, tokens: Dimension): Dimension =>
  sum([product([hop, tokens]), rest]);

/** Texts that attention looks at. */
export interface KeyStream {
  /** Length that they have side by side, with what was read before where it is kept. */
  readonly keys: Dimension;
  /** `[batch, keys]`, 1 at real tokens and 0 at padding. */
  readonly attentionMask: Value;
  /** Rows `[tokens, heads*size]` → `[batch, heads, sequence, size]`; what stands at padding is of no account. */
  splitHeads(rows: Value, heads: number): Value;
  /**
   * The keys and values of these tokens, `[batch, heads, sequence, size]`, with those of the tokens that were read before,
   * `[batch, heads, keys, size]`. Each attention of a model asks once, in the same order.
   */
  withPast(keys: Value, values: Value): [Value, Value];
}

/** How tokens attend to themselves and to those before them. */
export interface AttendedHeads {
  /** Of the queries. */
  heads: number;
  /** Of the keys and values, each of which serves as many heads of queries. */
  keyValueHeads: number;
  /** Factor of the scores. */
  scale: number;
  /** How many tokens each sees, itself among them; all where absent. */
  window?: number | undefined;
  /** Largest score, to which scores are bent; none where absent. */
  cap?: number | undefined;
  /** How positions turn queries and keys; not at all where absent. */
  rotary?: RotaryPositions | undefined;
}

/** What a decoder sees of the encoder. */
export interface Encoded {
  /** Of the tokens whose keys and values are not cached yet, `[tokens, hidden]`. */
  hidden: Value;
  tokens: KeyStream;
}

/**
 * The texts of a batch as a model reads them. Hidden states are flat rows, one for each token; only attention, and what
 * else looks from one token to another, lays examples side by side and pads them.
 */
export interface TokenStream extends KeyStream {
  /** Number of rows. */
  readonly tokens: Dimension;
  /** Length that examples have side by side. */
  readonly sequence: Dimension;
  /** `[tokens]` int32, and so are the next two. */
  readonly inputIds: Value;
  readonly tokenTypeIds: Value;
  /** Of models that read sounds in place of texts, as many samples of each as come to its tokens: `[batch, samples]`. */
  samples(windows: SoundWindows): Value;
  /** Position of each row in its example, from 0. */
  readonly positionIds: Value;
  /**
   * Where each token stands in its text, from 0, as texts are side by side, float32 `[rows, sequence]`, and where each that it
   * looks at, `[rows, keys]`; `rows` is `batch`, or 1 where all texts begin at the same position.
   */
  readonly positions: Value;
  readonly keyPositions: Value;
  /**
   * Attention of each token to itself and those before it, of rows `[tokens, heads*size]` and `[tokens, keyValueHeads*size]`: rows. Where a
   * stream has none of its own, `attention` writes it.
   */
  attend?(query: Value, key: Value, value: Value, heads: AttendedHeads): Value;
  /** `[batch, heads, sequence, size]` → rows `[tokens, heads*size]`. */
  joinHeads(padded: Value): Value;
  /** Rows `[tokens, width]` → `[batch, sequence, width]`, zeros at padding. */
  pad(rows: Value): Value;
  /** `[batch, sequence, width]` → rows `[tokens, width]`. */
  unpad(padded: Value): Value;
  /** Rows of each example's first token, `[batch, width]`. */
  first(rows: Value): Value;
  /** Rows of each example's last token, `[batch, width]`. */
  last(rows: Value): Value;
  /** Rows of the tokens that get outputs, `[outputRows, width]`. */
  outputRows(rows: Value): Value;
  /** A table for texts of the batch's length. */
  table(name: string, table: LengthTable): Value;
}

/** What must be fed to a {@link RaggedStream} beside ids: found while a model is written. */
export interface StreamInputs {
  /** What its leaves' names begin with: nothing, or `decoder.`. */
  prefix: string;
  /** Numbers of heads by which rows are split. */
  heads: Set<number>;
  tables: Map<string, LengthTable>;
}

/**
 * Rows of real tokens alone, example after example, for training and prediction. Padding and taking it away are row
 * look-ups by index inputs, and each is the other's gradient.
 */
export class RaggedStream implements TokenStream {
  readonly tokens: Dimension;
  readonly sequence: Dimension;
  readonly inputs: StreamInputs;
  readonly #graph: Graph;

  /** @param sequence where all examples are of one length, that */
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

  /** Nothing was read before. */
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
    return this.#select(rows, "firstRows", "batch");
  }

  last(rows: Value): Value {
    return this.#select(rows, "lastRows", "batch");
  }

  outputRows(rows: Value): Value {
    return this.#select(rows, "outputRows", OUTPUT_ROWS);
  }

  table(name: string, table: LengthTable): Value {
    const full = this.inputs.prefix + name;
    this.inputs.tables.set(full, table);
    return this.#graph.leaf("input", full, table.dtype, tableShape(table, this.sequence));
  }

  /** Which row, head by head, stands at each position, and the other way round. */
  #paddedLayout(heads: number): [Value, Value] {
    this.inputs.heads.add(heads);
    return [
      this.#indices(`paddedRows.${heads}`, ["batch", heads, this.sequence]),
      this.#indices(`rowPositions.${heads}`, [product([heads, this.tokens])]),
    ];
  }

  /** Some of the rows; the gradient goes back to them as rows come from padding, and zeros to all others. */
  #select(rows: Value, name: string, count: Dimension): Value {
    return unpad(rows, this.#indices(`${name}.inverse`, [this.tokens]), this.#indices(name, [count]));
  }

  #indices(name: string, shape: Dimension[]): Value {
    return this.#graph.leaf("input", this.inputs.prefix + name, "int32", shape);
  }
}

const POSITIONS: LengthTable = { dtype: "float32", axes: ["position"], value: (position) => position! };

/** Number of tokens that get outputs. */
export const OUTPUT_ROWS = "outputRows";
