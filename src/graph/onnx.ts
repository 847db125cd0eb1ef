import { type Dimension, evaluate, type Shape, ShapeError, termsOf } from "./dimension.ts";
import {
  ELEMENT_TYPE,
  type GraphNode,
  liveLeaves,
  liveNodes,
  type OnnxEmitter,
  type OnnxNodeOptions,
  type Value,
} from "./graph.ts";
import type { NodeMessage, OnnxModel, TensorGroup } from "./onnx-model.ts";
import { joinSharingProducts, type Rewrite } from "./shared-operands.ts";
import type { DataType, TensorData, Tensors } from "./tensor.ts";

const ARRAY: Record<DataType, (data: readonly number[]) => ArrayBufferView> = {
  float32: (data) => Float32Array.from(data),
  float64: (data) => Float64Array.from(data),
  int32: (data) => Int32Array.from(data),
  int64: (data) => BigInt64Array.from(data, BigInt),
  bool: (data) => Uint8Array.from(data),
  int8: (data) => Int8Array.from(data),
  uint8: (data) => Uint8Array.from(data),
};

class Encoder implements OnnxEmitter {
  readonly nodes: NodeMessage[] = [];
  readonly weights: TensorGroup[] = [];
  readonly unsignedBytes: boolean;
  readonly #names = new Map<Value, string>();
  readonly #constants = new Set<string>();
  readonly #emitted = new Map<string, string>();
  /** Input and axis from which each dimension's size can be read. */
  readonly #sizeSources = new Map<Dimension, { input: Value; axis: number }>();
  readonly #plainOps: ReadonlySet<string>;
  readonly #embedded: Tensors;
  readonly #packs: boolean;
  #count = 0;
  #origin = "";

  constructor(
    inputs: readonly Value[],
    { embedded = new Map(), plainOps = new Set(), packs = false, unsignedBytes = false }: EncodeOptions,
  ) {
    this.unsignedBytes = unsignedBytes;
    this.#embedded = embedded;
    this.#plainOps = plainOps;
    this.#packs = packs;
    for (const input of inputs) {
      input.shape.forEach((dimension, axis) => {
        if (!this.#sizeSources.has(dimension)) this.#sizeSources.set(dimension, { input, axis });
      });
    }
  }

  setName(value: Value, name: string): void {
    this.#names.set(value, name);
  }

  nameOf(value: Value | string): string {
    if (typeof value === "string") return value;
    return this.#names.get(value) ?? value.leaf?.name ?? `v${value.id}`;
  }

  emit(opType: string, inputs: readonly (Value | string)[], options: OnnxNodeOptions = {}): string {
    const { domain = "", attributes = {}, outputs } = options;
    const input = inputs.map((value) => this.nameOf(value));
    const key = outputs ? "" : JSON.stringify([opType, input, domain, attributes]);
    const known = key && this.#emitted.get(key);
    if (known) return known;
    const names = outputs?.map((value) => this.nameOf(value)) ?? [`t${this.#count++}`];
    if (key) this.#emitted.set(key, names[0]!);
    this.nodes.push({
      name: `${this.#origin}/${opType}_${this.nodes.length}`,
      opType,
      domain,
      input,
      output: names,
      attribute: Object.entries(attributes).map(([name, value]) => attributeMessage(name, value)),
    });
    return names[0]!;
  }

  int64(values: readonly number[]): string {
    return this.#constant(`int64:${values.join()}`, "int64", [values.length], values);
  }

  scalar(dtype: DataType, value: number): string {
    return this.#constant(`${dtype} scalar:${value}`, dtype, [], [value]);
  }

  #constant(name: string, dtype: DataType, shape: readonly number[], values: readonly number[]): string {
    return this.tensor(name, dtype, shape, () => ARRAY[dtype](values));
  }

  tensor(name: string, dtype: DataType, shape: readonly number[], make: () => ArrayBufferView): string {
    if (!this.#constants.has(name)) this.weights.push(tensorOf(name, dtype, shape, make));
    this.#constants.add(name);
    return name;
  }

  dataOf({ leaf }: Value): TensorData {
    return this.#embedded.get(leaf!.name)!.data;
  }

  shapeTensor(shape: Shape): string {
    if (shape.every((dimension) => typeof dimension === "number")) return this.int64(shape);
    const parts = shape.map((dimension) => this.#dimensionTensor(dimension));
    return parts.length === 1 ? parts[0]! : this.emit("Concat", parts, { attributes: { axis: 0 } });
  }

  #dimensionTensor(dimension: Dimension): string {
    if (typeof dimension === "number") return this.int64([dimension]);
    const source = this.#sizeSources.get(dimension);
    if (source) {
      return this.emit("Shape", [source.input], { attributes: { start: source.axis, end: source.axis + 1 } });
    }
    const terms = termsOf(dimension).map(({ coefficient, symbols }) => {
      if (symbols[0] === dimension)
        throw new ShapeError(`no input has a dimension "${dimension}" to read its size from`);
      const factors = symbols.map((symbol) => this.#dimensionTensor(symbol));
      if (coefficient !== 1 || factors.length === 0) factors.push(this.int64([coefficient]));
      return factors.reduce((total, factor) => this.emit("Mul", [total, factor]));
    });
    return terms.reduce((total, term) => this.emit("Add", [total, term]));
  }

  /** Encodes a node. Its ONNX nodes get names for profiles, such as `base/forward/LinearInt8/Gemm_17`. */
  encodeNode(node: GraphNode, rewrite?: Rewrite): void {
    const { part, pass } = node.provenance;
    this.#origin = `${part}/${pass}/${node.op.name}`;
    if (rewrite) rewrite(this);
    else if (this.#packs && node.op.packedOnnx?.(node, this)) return;
    else if (this.#plainOps.has(node.op.name)) node.op.plainOnnx!(node, this);
    else node.op.onnx(node, this);
  }
}

type AttributeSetting = NonNullable<OnnxNodeOptions["attributes"]>[string];

function attributeMessage(name: string, value: AttributeSetting): object {
  if (typeof value === "number") return { name, i: value, type: 2 };
  if (typeof value === "string") return { name, s: new TextEncoder().encode(value), type: 3 };
  if ("float" in value) return { name, f: value.float, type: 1 };
  return { name, ints: value, type: 7 };
}

const tensorOf = (
  name: string,
  dtype: DataType,
  dims: readonly number[],
  make: () => ArrayBufferView,
): TensorGroup => ({ tensors: [{ name, dtype, dims }], make: () => [make()] });

function valueInfo(name: string, { dtype, shape }: Value, symbols: Readonly<Record<string, string>>): object {
  const dim = shape.map((size) =>
    typeof size === "number" ? { dimValue: size } : { dimParam: symbols[size] ?? size },
  );
  return { name, type: { tensorType: { elemType: ELEMENT_TYPE[dtype], shape: { dim } } } };
}

export interface EncodeOptions {
  embedded?: Tensors | undefined;
  /** Names in the file for symbols of inputs and outputs (default: the symbols themselves). */
  symbols?: Readonly<Record<string, string>>;
  /** Names of ops to write in their plain form. */
  plainOps?: ReadonlySet<string> | undefined;
  /** Whether quantised weights, which must be embedded, are prepacked for products of few rows. */
  packs?: boolean | undefined;
  /** Whether the model has the shapes of all values, not only those of its inputs and outputs. */
  shapes?: boolean | undefined;
  /** Whether 8-bit products use unsigned weights. */
  unsignedBytes?: boolean | undefined;
}

/**
 * Encodes the computation of `outputs` as an ONNX model.
 * @returns the model, and the leaves to feed, in order of declaration
 * @throws ShapeError if a symbol's size cannot be read from any input.
 */
export function onnxModel(
  outputs: Readonly<Record<string, Value>>,
  options: EncodeOptions = {},
): { model: OnnxModel; inputs: Value[] } {
  const { embedded = new Map(), symbols = {}, shapes = false } = options;
  const values = Object.values(outputs);
  const leaves = liveLeaves(values);
  const given = leaves.filter(({ leaf }) => leaf!.kind !== "constant" && !embedded.has(leaf!.name));
  const encoder = new Encoder(given, options);
  for (const value of leaves) {
    const { name, data } = value.leaf!;
    const weight = embedded.get(name);
    if (!data && !weight) continue;
    const dims = value.shape.map((size) => evaluate(size, {}));
    encoder.weights.push(tensorOf(name, value.dtype, dims, () => (data ? ARRAY[value.dtype](data) : weight!.data)));
  }

  // Identity nodes give further names to a value that is a leaf or has more than one output name.
  const copies: [string, Value][] = [];
  const named = new Set<Value>();
  for (const [name, value] of Object.entries(outputs)) {
    if (value.leaf || named.has(value)) copies.push([name, value]);
    else encoder.setName(value, name);
    named.add(value);
  }
  // ONNX Runtime sorts nodes again, from the last output back. Gradients are outputs in the order of layers; encoded in
  // reverse, those of the last layers come first, as in `liveNodes`, and the values they need can be freed.
  const nodes = liveNodes(values.toReversed());
  const rewrites = joinSharingProducts(nodes);
  for (const node of nodes) encoder.encodeNode(node, rewrites.get(node));
  for (const [name, value] of copies) encoder.emit("Identity", [value], { outputs: [name] });

  const inner = nodes.flatMap((node) => node.outputs).filter((value) => !named.has(value));
  // Leave out weights of which only the prepacked form is read.
  const read = new Set(encoder.nodes.flatMap(({ input }) => input));
  return {
    model: {
      nodes: encoder.nodes,
      weights: encoder.weights.filter(({ tensors }) => tensors.some(({ name }) => read.has(name))),
      inputs: given.map((value) => valueInfo(value.leaf!.name, value, symbols)),
      outputs: Object.entries(outputs).map(([name, value]) => valueInfo(name, value, symbols)),
      ...(shapes && { values: inner.map((value) => valueInfo(encoder.nameOf(value), value, symbols)) }),
    },
    inputs: given,
  };
}
