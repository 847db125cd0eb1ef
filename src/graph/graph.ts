import type { Dimension, Shape } from "./dimension.ts";
import type { DataType, TensorData } from "./tensor.ts";

/** ONNX codes of element types. */
export const ELEMENT_TYPE: Readonly<Record<DataType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
};

/** Role of a leaf: data of one run, a fixed weight, a weight that an optimizer changes, or a constant of the graph. */
export type LeafKind = "input" | "frozen" | "trainable" | "constant";

/** Part and pass of the training step to which a node belongs, for accounting. */
export interface Provenance {
  part: "base" | "adapter";
  pass: "forward" | "backward";
}

/** An application of an op. The op's own rules see it with the types of their operands and attributes. */
export interface GraphNode<Inputs extends readonly Value[] = readonly Value[], Attrs extends Attributes = Attributes> {
  op: Op;
  inputs: Inputs;
  attributes: Attrs;
  outputs: readonly Value[];
  provenance: Provenance;
}

/** Plain data that selects a variant of an op: axes, flags, sizes. */
export type Attributes = Readonly<Record<string, AttributeValue>>;
/** Value of an attribute of a node. */
export type AttributeValue = number | boolean | string | readonly Dimension[];
/** Attributes of an op without variants. */
export type NoAttributes = Readonly<Record<string, never>>;

/** Returns the selected rows of a value that has all rows, and any other value as it is. */
export type RowsOf = (value: Value) => Value;

/**
 * An entry of the table of ops: everything that differentiation and encoding need. Its rules are typed by the op's own
 * operands and attributes.
 */
export interface Op<Inputs extends readonly Value[] = readonly Value[], Attrs extends Attributes = Attributes> {
  name: string;
  /**
   * Shape rule. The first output is the op's result; only the op's own gradient rule reads the others.
   * @throws ShapeError naming the op, the operands and their shapes.
   */
  infer(inputs: Inputs, attributes: Attrs): { dtype: DataType; shape: Shape }[];
  /** Emits the ONNX nodes that compute `outputs`. */
  onnx(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): void;
  /** Emits the same in simpler nodes, for devices without kernels for those of `onnx`. */
  plainOnnx?(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): void;
  /**
   * Emits the same for constant weights, prepacked for this product, in inference graphs.
   * @returns whether the op supports that for these operands
   */
  packedOnnx?(node: GraphNode<Inputs, Attrs>, emitter: OnnxEmitter): boolean;
  /**
   * Gradient rule: from the gradient of the result to those of the inputs; undefined for an input without a gradient.
   * `gradients` undoes broadcasting and drops unused nodes. An op without this rule stops the gradient.
   */
  gradient?(node: GraphNode<Inputs, Attrs>, dy: Value): (Value | undefined)[];
  /** Returns the result plus `addend`, of the same shape, at no cost, or undefined if the op already has an addend. */
  accumulate?(node: GraphNode<Inputs, Attrs>, addend: Value): Value | undefined;
  /**
   * Row rule: applies the op to some rows only, `count` along the first axis, which `rowsOf` returns of the operands; undefined if
   * it needs all of them. An op without this rule always does.
   */
  rows?(node: GraphNode<Inputs, Attrs>, rowsOf: RowsOf, count: Dimension): Value | undefined;
  /** Whether the result is a view of its first operand and takes no memory. */
  view?: boolean;
  /** Multiply-adds of a product, as dimensions whose product is their number. Each counts as two operations. */
  macs?(node: GraphNode<Inputs, Attrs>): Shape;
}

/** Writes ONNX nodes for ops. Tensors are named by their value or by the name that `emit` returned. */
export interface OnnxEmitter {
  /** Whether 8-bit products must use unsigned weights, because the target CPU saturates sums of signed ones. */
  readonly unsignedBytes: boolean;
  /** Adds a node and returns its output's name. `outputs` names the op's own outputs (default: a new temporary). */
  emit(opType: string, inputs: readonly (Value | string)[], options?: OnnxNodeOptions): string;
  /** Adds (once) a one-dimensional int64 constant and returns its name. */
  int64(values: readonly number[]): string;
  /** Adds (once) a constant of shape `[]` and returns its name. */
  scalar(dtype: DataType, value: number): string;
  /** Adds (once) a constant and returns its name. `make` is called for its elements when they are written. */
  tensor(name: string, dtype: DataType, shape: readonly number[], make: () => ArrayBufferView): string;
  /** Returns the elements of a leaf whose weight is embedded. */
  dataOf(weight: Value): TensorData;
  /** Returns the name of an int64 tensor `[rank]` that holds `shape`. Inputs give the sizes of symbols. */
  shapeTensor(shape: Shape): string;
}

/** How to write an ONNX node. */
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
  /** The node that computes this value; undefined for a leaf. */
  readonly node: GraphNode | undefined;
  /** Defined for a leaf only. */
  readonly leaf: Leaf | undefined;

  constructor(graph: Graph, id: number, dtype: DataType, shape: Shape, origin: { node: GraphNode } | { leaf: Leaf }) {
    this.graph = graph;
    this.id = id;
    this.dtype = dtype;
    this.shape = shape;
    this.node = "node" in origin ? origin.node : undefined;
    this.leaf = "leaf" in origin ? origin.leaf : undefined;
  }

  /** Name for error messages: the leaf's or the op's. */
  get label(): string {
    return this.leaf?.name ?? this.node!.op.name;
  }
}

/** An input or a weight of a graph. */
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
   * Declares a leaf. A second call with the same name returns the same leaf.
   * @throws Error if a leaf of this name has another kind, type or shape.
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

  /** Returns a small tensor whose values are part of the graph. Scalars have shape `[]`. */
  constant(data: readonly number[], dtype: DataType, shape: Shape = []): Value {
    const name = `constant:${dtype}:${shape.join("x")}:${data.join(",")}`;
    return this.leaves.get(name) ?? this.#addLeaf({ name, kind: "constant", data }, dtype, shape);
  }

  /** Number of values so far, which is the id of the next one. */
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

  /** Runs `write` and ascribes the nodes that it adds to a part or a pass. */
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
 * Returns the nodes that `outputs` need, each after the nodes it reads from. All other nodes are dead.
 * @param given values that are already computed: nodes that only these need are left out
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

/** Returns the leaves that `outputs` need, in order of declaration. */
export function liveLeaves(outputs: readonly Value[]): Value[] {
  const leaves = new Set(outputs.filter((value) => value.leaf));
  for (const node of liveNodes(outputs)) for (const input of node.inputs) if (input.leaf) leaves.add(input);
  return [...leaves].sort((a, b) => a.id - b.id);
}
