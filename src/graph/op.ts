import type { Shape } from "./dimension.ts";
import type { Attributes, GraphNode, Value } from "./graph.ts";
import type { DataType } from "./tensor.ts";

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
  /**
   * Gradient rule: given the gradient of the result, those of the inputs, absent for an input to which none flows.
   * Broadcasting is undone, and what nobody reads dropped, by `gradients`. Absent for ops through which none flows.
   */
  gradient?(node: GraphNode<Inputs, Attrs>, dy: Value): (Value | undefined)[];
  /** The result with `addend`, of its shape, added at no cost; undefined where that place is taken. */
  accumulate?(node: GraphNode<Inputs, Attrs>, addend: Value): Value | undefined;
  /** Floating-point operations that a product does, as dimensions whose product × 2 counts them. */
  macs?(node: GraphNode<Inputs, Attrs>): Shape;
}

/** What an op may do while it is encoded. Tensors are named by their value or, inside an op, by the name `emit` gave. */
export interface OnnxEmitter {
  /** Adds a node and returns its output's name; `outputs` are given where they are the op's own. */
  emit(opType: string, inputs: readonly (Value | string)[], options?: OnnxNodeOptions): string;
  /** Adds (once) a one-dimensional int64 constant and returns its name. */
  int64(values: readonly number[]): string;
  /** Name of a one-dimensional int64 tensor that holds `shape`, symbols read from the inputs that carry them. */
  shapeTensor(shape: Shape): string;
}

export interface OnnxNodeOptions {
  domain?: string;
  outputs?: readonly (Value | string)[];
  attributes?: Readonly<Record<string, number | string | readonly number[] | { float: number }>>;
}
