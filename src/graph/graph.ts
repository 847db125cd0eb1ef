import type { Dimension, Shape } from "./dimension.ts";
import type { DataType, TensorData } from "./tensor.ts";

/** ONNX's codes of element types. */
export const ELEMENT_TYPE: Readonly<Record<DataType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
};

/** What a leaf is to the runtime: data of this run, a weight that stays, or a weight that an optimizer changes. */
export type LeafKind = "input" | "frozen" | "trainable" | "constant";

/** Which part of the step a node belongs to, for accounting. */
export interface Provenance {
  part: "base" | "adapter";
  pass: "forward" | "backward";
}

/** An application of an op; the op's own rules see it with the types of its operands and attributes. */
export interface GraphNode<Inputs extends readonly Value[] = readonly Value[], Attrs extends Attributes = Attributes> {
  op: Op;
  inputs: Inputs;
  attributes: Attrs;
  outputs: readonly Value[];
  provenance: Provenance;
}

/** Plain data that selects a variant of an op: axes, flags, sizes. */
export type Attributes = Readonly<Record<string, AttributeValue>>;
export type AttributeValue = number | boolean | string | readonly Dimension[];
/** Of an op that has no variants. */
export type NoAttributes = Readonly<Record<string, never>>;

/**
 * An entry of the table of ops: everything that differentiation and encoding need to know of it, its rules typed by the
 * op's own operands and attributes.
 */
export interface Op<Inputs extends readonly Value[] = readonly Value[], Attrs extends Attributes = Attributes> {
  name: string;
  /**
   * Shape rule. The first output is the op's result, others are for its own gradient rule.
   * @throws ShapeError naming the op, the operands and their shapes.
   */
  infer(inputs: Inputs, attributes: Attrs): { dtype: DataType; shape: Shape }[];
  /** ONNX form: emits nodes that compute `outputs`. */
  onnx(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): void;
  /** The same in plainer nodes, for devices that have no kernel of the first form's. */
  plainOnnx?(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): void;
  /**
   * The same of weights that are constants, laid out once for this product, for graphs that only answer.
   * @returns whether it could be written so
   */
  packedOnnx?(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): boolean;
  /**
   * Gradient rule: given the gradient of the result, those of the inputs, absent for an input to which none flows.
   * Broadcasting is undone, and what nobody reads dropped, by `gradients`. Absent for ops through which none flows.
   */
  gradient?(node: GraphNode<Inputs, Attrs>, dy: Value): (Value | undefined)[];
  /** The result with `addend`, of its shape, added at no cost; undefined where that place is taken. */
  accumulate?(node: GraphNode<Inputs, Attrs>, addend: Value): Value | undefined;
  /** Whether the result only looks at its first operand's elements and takes no memory of its own. */
  view?: boolean;
  /** Floating-point operations that a product does, as dimensions whose product × 2 counts them. */
  macs?(node: GraphNode<Inputs, Attrs>): Shape;
}

/** What an op may do while it is encoded. Tensors are named by their value or, inside an op, by the name `emit` gave. */
export interface OnnxEmitter {
  /** Whether products of bytes must be of unsigned ones: sums of others are cut off where the graph is to run. */
  readonly unsignedBytes: boolean;
  /** Adds a node and returns its output's name; `outputs` are given where they are the op's own. */
  emit(opType: string, inputs: readonly (Value | string)[], options?: OnnxNodeOptions): string;
  /** Adds (once) a one-dimensional int64 constant and returns its name. */
  int64(values: readonly number[]): string;
  /** Adds (once) a constant of shape `[]` and returns its name. */
  scalar(dtype: DataType, value: number): string;
  /** Adds (once) a constant and returns its name; `make` is asked for its elements when they are written. */
  tensor(name: string, dtype: DataType, shape: readonly number[], make: () => ArrayBufferView): string;
  /** The elements of a leaf whose weight is embedded. */
  dataOf(weight: Value): TensorData;
  /** Name of a one-dimensional int64 tensor that holds `shape`, symbols read from the inputs that carry them. */
  shapeTensor(shape: Shape): string;
}

export interface OnnxNodeOptions {
  domain?: string;
  outputs?: readonly (Value | string)[];
  attributes?: Readonly<Record<string, number | string | readonly number[] | { float: number }>>;
}

/** A tensor in a graph: a leaf, or an output of a node. */
export class Value {
  readonly graph: Graph;
  /** Unique in its graph, in order of creation: inputs of a node come before its outputs. */
  readonly id: number;
  readonly dtype: DataType;
  readonly shape: Shape;
  /** The node that makes this value; absent for a leaf. */
  readonly node: GraphNode | undefined;
  /** Present for a leaf. */
  readonly leaf: Leaf | undefined;

  constructor(graph: Graph, id: number, dtype: DataType, shape: Shape, origin: { node: GraphNode } | { leaf: Leaf }) {
    this.graph = graph;
    this.id = id;
    this.dtype = dtype;
    this.shape = shape;
    this.node = "node" in origin ? origin.node : undefined;
    this.leaf = "leaf" in origin ? origin.leaf : undefined;
  }

  /** For error messages: the leaf's name or the op. */
  get label(): string {
    return this.leaf?.name ?? this.node!.op.name;
  }
}

export interface Leaf {
  name: string;
  kind: LeafKind;
  /** Values of a constant, row-major. */
  data?: readonly number[];
}

/** A computation under construction. Equal applications of an op give the same value, so nothing is computed twice. */
export class Graph {
  readonly leaves = new Map<string, Value>();
  readonly #nodes = new Map<string, GraphNode>();
  #nextId = 0;
  #provenance: Provenance = { part: "base", pass: "forward" };

  /**
   * A leaf by name; asked for again, the same one.
   * @throws Error where the name is already another kind, type or shape.
   */
  leaf(kind: Exclude<LeafKind, "constant">, name: string, dtype: DataType, shape: Shape): Value {
    const known = this.leaves.get(name);
    if (known) {
      if (known.leaf!.kind !== kind || known.dtype !== dtype || known.shape.join() !== shape.join()) {
        throw new Error(`leaf "${name}" was declared before with another kind, type or shape`);
      }
      return known;
    }
    return this.#addLeaf({ name, kind }, dtype, shape);
  }

  /** A small tensor whose values are part of the graph. Scalars have shape `[]`. */
  constant(data: readonly number[], dtype: DataType, shape: Shape = []): Value {
    const name = `constant:${dtype}:${shape.join("x")}:${data.join(",")}`;
    return this.leaves.get(name) ?? this.#addLeaf({ name, kind: "constant", data }, dtype, shape);
  }

  /** Number of values so far: ids of those to come begin there. */
  get valueCount(): number {
    return this.#nextId;
  }

  #addLeaf(leaf: Leaf, dtype: DataType, shape: Shape): Value {
    const value = new Value(this, this.#nextId++, dtype, shape, { leaf });
    this.leaves.set(leaf.name, value);
    return value;
  }

  /** Applies an op: checks the shapes and returns its result, the first output. */
  apply<Inputs extends readonly Value[], Attrs extends Attributes>(
    op: Op<Inputs, Attrs>,
    inputs: Inputs,
    attributes: Attrs,
  ): Value {
    const key = `${op.name}(${inputs.map((input) => input.id).join()})${JSON.stringify(attributes)}`;
    const known = this.#nodes.get(key);
    if (known) return known.outputs[0]!;
    const results = op.infer(inputs, attributes);
    const outputs: Value[] = [];
    const node: GraphNode = { op, inputs, attributes, outputs, provenance: this.#provenance };
    for (const { dtype, shape } of results) outputs.push(new Value(this, this.#nextId++, dtype, shape, { node }));
    this.#nodes.set(key, node);
    return outputs[0]!;
  }

  /** Runs `write` with the nodes it makes ascribed to a part or a pass. */
  within<T>(provenance: Partial<Provenance>, write: () => T): T {
    const before = this.#provenance;
    this.#provenance = { ...before, ...provenance };
    try {
      return write();
    } finally {
      this.#provenance = before;
    }
  }
}

/**
 * Nodes that `outputs` need, each after the nodes it reads from; everything else is dead.
 * @param given values that are there already: what only they need is left out
 */
export function liveNodes(outputs: readonly Value[], given: ReadonlySet<Value> = new Set()): GraphNode[] {
  const order: GraphNode[] = [];
  const seen = new Set<GraphNode>();
  const stack = outputs.flatMap((value) => (value.node ? [{ node: value.node, next: 0 }] : []));
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    if (top.next === 0 && seen.has(top.node)) {
      stack.pop();
      continue;
    }
    seen.add(top.node);
    const input = top.node.inputs[top.next++];
    if (!input) {
      order.push(top.node);
      stack.pop();
    } else if (input.node && !given.has(input) && !seen.has(input.node)) {
      stack.push({ node: input.node, next: 0 });
    }
  }
  return order;
}

/** Leaves that `outputs` need, in order of declaration. */
export function liveLeaves(outputs: readonly Value[]): Value[] {
  const leaves = new Set(outputs.filter((value) => value.leaf));
  for (const node of liveNodes(outputs)) for (const input of node.inputs) if (input.leaf) leaves.add(input);
  return [...leaves].sort((a, b) => a.id - b.id);
}
