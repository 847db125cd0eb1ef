import type { Shape } from "../graph/dimension.ts";
import { recompute } from "../graph/gradients.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { StoredWeight, TableFormat } from "../graph/ops/weight-format.ts";
import { add, concat, layerNorm, linear, lookup, mul, softmax, split } from "../graph/ops.ts";
import { type BaseFormat, storedLeaves } from "./base-format.ts";
import type { LinearModule, PictureSize, WeightSpec } from "./model-parts.ts";
import { type Encoded, RaggedStream, type StreamInputs, type TokenStream } from "./streams/token-stream.ts";

/** How a model is written: what trains, what stands beside its linear layers, whether dropout is on. */
export interface ForwardHooks {
  /** Whether a weight of the model itself trains. */
  trains(weight: WeightSpec): boolean;
  /** How weights that do not train are stored; float32 where absent. */
  format?: BaseFormat | undefined;
  /** Writes a linear layer with an adapter, `x [tokens, in]` → `[tokens, out]`; `layer` is the base model's own. */
  adapt?(x: Value, layer: (input: Value) => Value, module: LinearModule): Value;
  /** Writes linear layers that read the same rows as one, `[rows, all outputs]`, without biases; undefined where it cannot. */
  joined?: ((x: Value, modules: readonly LinearModule[]) => Value | undefined) | undefined;
  /** Dropout as in training. */
  dropout: boolean;
  /** Whether the backward pass computes a block's inner values again instead of keeping them. */
  recompute?: boolean | undefined;
  /** Number of blocks whose work is done: the hidden states after them are an input, {@link BOUNDARY}; none where absent. */
  boundary?: number | undefined;
  /** The texts with this prefix as the model reads them; rows of real tokens alone where absent. */
  stream?: ((graph: Graph, prefix: string, length?: number) => TokenStream) | undefined;
  /** What an encoder has read before, of this width; the encoder is written, too, where absent. */
  encoded?: ((graph: Graph, width: number) => Encoded) | undefined;
}

/** The input that holds the hidden states `[tokens, hidden]` after the blocks whose work is done. */
export const BOUNDARY = "boundary";

/** The input that holds pictures, in Hugging Face's name. */
export const PIXELS = "pixel_values";

/** A dropout layer: its mask is an input, drawn outside the graph so that a resumed run draws the same. */
export interface DropoutLayer {
  /** Leaf that takes the mask. */
  input: string;
  /** Its number within the model, by which its masks are drawn. */
  number: number;
  rate: number;
  shape: Shape;
  /** Name of the int32 input that numbers the rows, where they are no tokens: rows of one number share their draws. */
  rowNumbers?: string;
}

export interface DenseOptions {
  /** Whether it has a bias; it has one where absent. */
  bias?: boolean;
  /** Whether checkpoints hold its weight as `[in, out]`. */
  transposed?: boolean;
}

/** What an architecture writes its forward pass with; keeps account of the weights, linear layers and dropouts it met. */
export class ForwardContext {
  readonly graph: Graph;
  readonly weights = new Map<string, WeightSpec>();
  /** By name: a layer that is used twice is one layer. */
  readonly modules = new Map<string, LinearModule>();
  readonly dropouts: DropoutLayer[] = [];
  /** What each linear layer reads, by its name, `[rows, in]`. */
  readonly inputs = new Map<string, Value>();
  /** Hidden states after each block, in order. */
  readonly blocks: Value[] = [];
  readonly #streams = new Map<string, RaggedStream>();
  readonly #hooks: ForwardHooks;
  #part: WeightSpec["part"] = "backbone";
  #nextDropout = 0;

  constructor(graph: Graph, hooks: ForwardHooks) {
    this.graph = graph;
    this.#hooks = hooks;
  }

  /**
   * The texts that the model reads; of an encoder-decoder, the decoder's own with the prefix `decoder.`.
   * @param length of all examples, where it is one: that of what a picture is cut into
   */
  tokens(prefix = "", length?: number): TokenStream {
    if (this.#hooks.stream) return this.#hooks.stream(this.graph, prefix, length);
    const known = this.#streams.get(prefix) ?? new RaggedStream(this.graph, prefix, length);
    this.#streams.set(prefix, known);
    return known;
  }

  /** What was read before of the text that the decoder sees, of this width; undefined where the encoder is to be written. */
  encoded(width: number): Encoded | undefined {
    return this.#hooks.encoded?.(this.graph, width);
  }

  /** What the texts' streams must be fed. */
  get streams(): StreamInputs[] {
    return [...this.#streams.values()].map(({ inputs }) => inputs);
  }

  /** The pictures that the model reads, `[batch, 3, height, width]`. */
  pixels({ height, width }: PictureSize): Value {
    return this.graph.leaf("input", PIXELS, "float32", ["batch", 3, height, width]);
  }

  /** Writes the head: weights met meanwhile are the head's. */
  head<T>(write: () => T): T {
    this.#part = "head";
    try {
      return write();
    } finally {
      this.#part = "backbone";
    }
  }

  /**
   * One of the model's blocks, `[rows, hidden]` → the same; of its inner values nothing need be kept. A block before the boundary
   * is written, so that all is named and numbered as ever, but nobody reads it.
   * @param write may be called again, and must then write the same
   */
  block(x: Value, write: (x: Value) => Value): Value {
    const { boundary = 0 } = this.#hooks;
    const number = this.blocks.length;
    const y = number < boundary ? write(x) : this.#block(x, write);
    const hidden = number === boundary - 1 ? this.graph.leaf("input", BOUNDARY, y.dtype, y.shape) : y;
    this.blocks.push(hidden);
    return hidden;
  }

  #block(x: Value, write: (x: Value) => Value): Value {
    if (!this.#hooks.recompute) return write(x);
    const first = this.#nextDropout;
    return recompute(x, (input) => {
      // Written again, it has the same dropouts.
      const next = this.#nextDropout;
      this.#nextDropout = first;
      const y = write(input);
      this.#nextDropout = Math.max(next, this.#nextDropout);
      return y;
    });
  }

  /** A weight of the checkpoint by its name without the family's prefix. */
  weight(name: string, shape: Shape): Value {
    const weight = this.#meet({ name, shape, part: this.#part });
    if (weight.use) throw new Error(`weight "${name}" is read as a ${weight.use} before: it need not be float32`);
    return this.#leaf(weight);
  }

  /** A weight that is no parameter: it never trains, and is zeros where a checkpoint lacks it. */
  buffer(name: string, shape: Shape): Value {
    return this.#leaf(this.#meet({ name, shape, part: this.#part, buffer: true }));
  }

  #meet(weight: WeightSpec): WeightSpec {
    const spec = this.weights.get(weight.name) ?? weight;
    this.weights.set(spec.name, spec);
    return spec;
  }

  /** A weight that a base may store otherwise than in float32, where it does not train. A table may be a layer's weight, too. */
  #stored(name: string, shape: [number, number], use: "linear" | "table", transposed = false) {
    const weight = this.#meet({ name, shape, part: this.#part, use, ...(transposed && { transposed }) });
    if (use === "table" && weight.use === "linear") throw new Error(`weight "${name}" is a linear layer's before`);
    const { trains, format = "float32" } = this.#hooks;
    return (trains(weight) ? undefined : storedLeaves(this.graph, weight, format)) ?? this.#leaf(weight);
  }

  #table(name: string, shape: [number, number]): Value | StoredWeight<TableFormat> {
    return this.#stored(`${name}.weight`, shape, "table") as Value | StoredWeight<TableFormat>;
  }

  #leaf(weight: WeightSpec): Value {
    const trains = !weight.buffer && this.#hooks.trains(weight);
    return this.graph.leaf(trains ? "trainable" : "frozen", weight.name, "float32", weight.shape);
  }

  /** A linear layer that methods may adapt: `x [tokens, in]` → `[tokens, out]`. */
  linear(x: Value, module: LinearModule, options?: DenseOptions): Value {
    return this.linears(x, [module], options)[0]!;
  }

  /** Linear layers that read the same rows, each as {@link linear} is. */
  linears(x: Value, modules: readonly LinearModule[], options: DenseOptions = {}): readonly Value[] {
    const joined = this.#hooks.joined?.(x, modules);
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
    const adapt = this.#hooks.adapt;
    return adapt ? this.graph.within({ part: "adapter" }, () => adapt(x, layer, module)) : layer(x);
  }

  /** A linear layer that methods leave alone, such as a head's. */
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

  /** Rows of a table of words, `[rows, width]` by `indices [...]` → `[..., width]`. */
  lookup(name: string, shape: [rows: number, width: number], indices: Value): Value {
    return lookup(this.#table(name, shape), indices);
  }

  /**
   * A language model's output layer, `x [rows, width]` → `[rows, words]`: the product with a table of words, which may be the
   * one that {@link lookup} reads.
   */
  unembed(x: Value, name: string, words: number, { bias }: { bias?: Value } = {}): Value {
    return linear(x, this.#table(name, [words, x.shape[1] as number]), bias);
  }

  /** Layer normalisation with the weights of module `name`. */
  layerNorm(x: Value, name: string, epsilon: number, { bias = true } = {}): Value {
    const width = x.shape.slice(-1);
    return layerNorm(
      x,
      this.weight(`${name}.weight`, width),
      bias ? this.weight(`${name}.bias`, width) : undefined,
      epsilon,
    );
  }

  /** Dropout of hidden states `[tokens, width]`, `[outputRows, width]` or `[batch, width]`. */
  dropout(x: Value, rate: number): Value {
    const mask = this.#mask(x, rate);
    return mask ? mul(x, mask) : x;
  }

  /** Probabilities of attention by its scores `[batch, heads, queries, keys]`, with dropout. */
  probabilities(scores: Value, rate: number): Value {
    return softmax(scores, this.#mask(scores, rate));
  }

  /** Dropout of what is looked up by `rowNumbers [rows]`, an input, once for all examples: `[rows, width]`. */
  rowDropout(x: Value, rate: number, rowNumbers: Value): Value {
    const mask = this.#mask(x, rate, rowNumbers.leaf?.name);
    return mask ? mul(x, mask) : x;
  }

  /** The mask of a dropout layer over `x`, drawn outside; undefined where there is no dropout. */
  #mask({ shape, dtype }: Value, rate: number, rowNumbers?: string): Value | undefined {
    if (!this.#hooks.dropout || rate === 0) return undefined;
    const number = this.#nextDropout++;
    const input = `dropout.${number}`;
    this.dropouts[number] = { input, number, rate, shape, ...(rowNumbers !== undefined && { rowNumbers }) };
    return this.graph.leaf("input", input, dtype, shape);
  }
}
