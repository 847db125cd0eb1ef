import type { Shape } from "../graph/dimension.ts";
import { recompute } from "../graph/gradients.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { StoredWeight, TableFormat } from "../graph/ops/weight-format.ts";
import { add, concat, layerNorm, linear, lookup, mul, split } from "../graph/ops.ts";
import { type BaseFormat, storedLeaves } from "./base-format.ts";
import type { LinearModule, PictureSize, WeightSpec } from "./model-parts.ts";
import { computedWhole, withRowRule } from "./streams/read-rows.ts";
import { type Encoded, RaggedStream, type StreamInputs, type TokenStream } from "./streams/token-stream.ts";

/** How to write a model: which parameters train, which method adapts its linear layers, whether dropout is on. */
export interface ForwardHooks {
  /** Whether a weight of the base model trains. */
  trains(weight: WeightSpec): boolean;
  /** Storage format of frozen weights (default: float32). */
  format?: BaseFormat | undefined;
  /** Writes an adapted linear layer, `x [tokens, in]` → `[tokens, out]`; `layer` applies the base model's own. */
  adapt?(x: Value, layer: (input: Value) => Value, module: LinearModule): Value;
  /**
   * Writes linear layers with a common input as one, `[rows, all outputs]`, without biases; undefined if impossible.
   */
  joined?: ((x: Value, modules: readonly LinearModule[]) => Value | undefined) | undefined;
  /** Whether to apply dropout. */
  dropout: boolean;
  /** Whether the backward pass recomputes a block's inner values instead of keeping them. */
  recompute?: boolean | undefined;
  /** Number of blocks already computed: the hidden states after them are an input, `BOUNDARY` (default: 0). */
  boundary?: number | undefined;
  /** Returns the stream of texts with this prefix (default: rows of real tokens only). */
  stream?: ((graph: Graph, prefix: string, length?: number) => TokenStream) | undefined;
  /** Returns the encoder's precomputed output, of this width (default: the encoder is written too). */
  encoded?: ((graph: Graph, width: number) => Encoded) | undefined;
}

/** Input for the hidden states `[tokens, hidden]` after the blocks that are already computed. */
export const BOUNDARY = "boundary";

/** Input for pictures, by Hugging Face's name. */
export const PIXELS = "pixel_values";

/** A dropout layer. Its mask is an input, generated outside of the graph so that a resumed run uses the same masks. */
export interface DropoutLayer {
  /** Name of the mask's input. */
  input: string;
  /** Index within the model, which seeds its masks. */
  number: number;
  rate: number;
  shape: Shape;
  /** Int32 input that numbers the rows, if they are not tokens: rows with equal numbers have equal masks. */
  rowNumbers?: string;
  /** Name of the tokens that are read, if the mask is only theirs: of rows, or of queries. */
  read?: string;
}

/** Options of a dense layer. */
export interface DenseOptions {
  /** Whether the layer has a bias (default: true). */
  bias?: boolean;
  /** Whether checkpoints store its weight as `[in, out]`. */
  transposed?: boolean;
}

/** Interface with which an architecture writes its forward pass. Records weights, linear layers and dropouts. */
export class ForwardContext {
  readonly weights = new Map<string, WeightSpec>();
  /** Linear layers by name. A layer that is used twice is one layer. */
  readonly modules = new Map<string, LinearModule>();
  readonly inputs = new Map<string, Value>();
  readonly blocks: Value[] = [];
  readonly #dropouts = new Map<string, DropoutLayer>();
  readonly #streams = new Map<string, RaggedStream>();
  #part: WeightSpec["part"] = "backbone";
  #nextDropout = 0;

  constructor(
    readonly graph: Graph,
    private readonly hooks: ForwardHooks,
  ) {}

  /** Returns the texts that the model reads; the decoder's texts of an encoder-decoder have the prefix `decoder.`. */
  tokens(prefix = "", length?: number): TokenStream {
    if (this.hooks.stream) return this.hooks.stream(this.graph, prefix, length);
    const known = this.#streams.get(prefix) ?? new RaggedStream(this.graph, prefix, length);
    this.#streams.set(prefix, known);
    return known;
  }

  encoded(width: number): Encoded | undefined {
    return this.hooks.encoded?.(this.graph, width);
  }

  get dropouts(): DropoutLayer[] {
    return [...this.#dropouts.values()];
  }

  get streams(): StreamInputs[] {
    return [...this.#streams.values()].map(({ inputs }) => inputs);
  }

  pixels({ height, width }: PictureSize): Value {
    return this.graph.leaf("input", PIXELS, "float32", ["batch", 3, height, width]);
  }

  /** Writes the head: weights declared by `write` belong to the head. */
  head<T>(write: () => T): T {
    this.#part = "head";
    try {
      return write();
    } finally {
      this.#part = "backbone";
    }
  }

  /**
   * Writes a block, `[rows, hidden]` → same shape. A block before the boundary is written too, so that names and
   * numbers do not change, but its output is not used.
   * @param write may be called again, and must then write the same nodes
   */
  block(x: Value, write: (x: Value) => Value): Value {
    const { boundary = 0 } = this.hooks;
    const number = this.blocks.length;
    // The last block's keys and values need all rows of its input.
    computedWhole(x);
    const y = number < boundary ? write(x) : this.#block(x, write);
    const hidden = number === boundary - 1 ? this.graph.leaf("input", BOUNDARY, y.dtype, y.shape) : y;
    this.blocks.push(hidden);
    return hidden;
  }

  #block(x: Value, write: (x: Value) => Value): Value {
    if (!this.hooks.recompute) return write(x);
    const first = this.#nextDropout;
    return recompute(x, (input) => {
      // A recomputed block has the same dropouts.
      const next = this.#nextDropout;
      this.#nextDropout = first;
      const y = write(input);
      this.#nextDropout = Math.max(next, this.#nextDropout);
      return y;
    });
  }

  /** Returns a weight of the checkpoint by its name without the family's prefix. */
  weight(name: string, shape: Shape): Value {
    const weight = this.#declare({ name, shape, part: this.#part });
    if (weight.use) throw new Error(`weight "${name}" was read as a ${weight.use} before: it need not be float32`);
    return this.#leaf(weight);
  }

  /** Returns a weight that is not a parameter: it never trains, and is zero if a checkpoint lacks it. */
  buffer(name: string, shape: Shape): Value {
    return this.#leaf(this.#declare({ name, shape, part: this.#part, buffer: true }));
  }

  #declare(weight: WeightSpec): WeightSpec {
    const spec = this.weights.get(weight.name) ?? weight;
    this.weights.set(spec.name, spec);
    return spec;
  }

  /** Returns a weight that may have another storage format if it is frozen. A table may also be a layer's weight. */
  #stored(name: string, shape: [number, number], use: "linear" | "table", transposed = false) {
    const weight = this.#declare({ name, shape, part: this.#part, use, ...(transposed && { transposed }) });
    if (use === "table" && weight.use === "linear") throw new Error(`weight "${name}" was a linear layer's before`);
    const { trains, format = "float32" } = this.hooks;
    return (trains(weight) ? undefined : storedLeaves(this.graph, weight, format)) ?? this.#leaf(weight);
  }

  #table(name: string, shape: [number, number]): Value | StoredWeight<TableFormat> {
    return this.#stored(`${name}.weight`, shape, "table") as Value | StoredWeight<TableFormat>;
  }

  #leaf(weight: WeightSpec): Value {
    const trains = !weight.buffer && this.hooks.trains(weight);
    return this.graph.leaf(trains ? "trainable" : "frozen", weight.name, "float32", weight.shape);
  }

  linear(x: Value, module: LinearModule, options?: DenseOptions): Value {
    return this.linears(x, [module], options)[0]!;
  }

  linears(x: Value, modules: readonly LinearModule[], options: DenseOptions = {}): readonly Value[] {
    const joined = this.hooks.joined?.(x, modules);
    if (!joined) return modules.map((module) => this.#linear(x, module, options));
    const biases =
      (options.bias ?? true) ? modules.map((each) => this.weight(`${each.name}.bias`, [each.outFeatures])) : [];
    const whole = biases.length > 0 ? add(joined, concat(biases, 0)) : joined;
    return split(
      whole,
      1,
      modules.map(({ outFeatures }) => outFeatures),
    );
  }

  #linear(x: Value, module: LinearModule, options: DenseOptions): Value {
    this.modules.set(module.name, module);
    const layer = (input: Value): Value =>
      this.graph.within({ part: "base" }, () =>
        this.dense(input, module.name, module.inFeatures, module.outFeatures, options),
      );
    const adapt = this.hooks.adapt;
    return adapt ? this.graph.within({ part: "adapter" }, () => adapt(x, layer, module)) : layer(x);
  }

  dense(
    x: Value,
    name: string,
    inFeatures: number,
    outFeatures: number,
    { bias = true, transposed = false }: DenseOptions = {},
  ): Value {
    this.inputs.set(name, x);
    const weight = this.#stored(`${name}.weight`, [outFeatures, inFeatures], "linear", transposed);
    return linear(x, weight, bias ? this.weight(`${name}.bias`, [outFeatures]) : undefined);
  }

  lookup(name: string, shape: [rows: number, width: number], indices: Value): Value {
    return lookup(this.#table(name, shape), indices);
  }

  /**
   * Writes a language model's output layer, `x [rows, width]` → `[rows, words]`: the product with a table of token
   * embeddings, which may be the one that {@link lookup} reads.
   */
  unembed(x: Value, name: string, words: number, { bias }: { bias?: Value } = {}): Value {
    return linear(x, this.#table(name, [words, x.shape[1] as number]), bias);
  }

  /** Applies layer normalisation with the weights of module `name`. */
  layerNorm(x: Value, name: string, epsilon: number, { bias = true } = {}): Value {
    const width = x.shape.slice(-1);
    return layerNorm(
      x,
      this.weight(`${name}.weight`, width),
      bias ? this.weight(`${name}.bias`, width) : undefined,
      epsilon,
    );
  }

  dropout(x: Value, rate: number): Value {
    const mask = this.#mask(x.shape, rate);
    return mask ? mul(x, mask) : x;
  }

  /** Returns the input for the dropout mask of attention probabilities `[batch, heads, queries, keys]`; undefined without dropout. */
  scoreMask(shape: Shape, rate: number): Value | undefined {
    return this.#mask(shape, rate);
  }

  rowDropout(x: Value, rate: number, rowNumbers: Value): Value {
    const mask = this.#mask(x.shape, rate, rowNumbers.leaf?.name);
    return mask ? mul(x, mask) : x;
  }

  #mask(shape: Shape, rate: number, rowNumbers?: string): Value | undefined {
    if (!this.hooks.dropout || rate === 0) return undefined;
    const number = this.#nextDropout++;
    const input = `dropout.${number}`;
    const whole = this.#maskOf({ input, number, rate, shape, ...(rowNumbers !== undefined && { rowNumbers }) });
    return withRowRule(whole, ({ name, count }) => {
      const own = shape.length === 4 ? shape.with(2, 1) : shape.with(0, count);
      return this.#maskOf({ input: `${input}.${name}`, number, rate, shape: own, read: name });
    });
  }

  #maskOf(layer: DropoutLayer): Value {
    this.#dropouts.set(layer.input, layer);
    return this.graph.leaf("input", layer.input, "float32", layer.shape);
  }
}
