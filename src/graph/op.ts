import type { Shape } from "./dimension.ts";
import type { Attributes, GraphNode, Value } from "./graph.ts";
import type { DataType } from "./tensor.ts";

/** An entry of the table of ops: everything that differentiation and encoding need to know of it. */
export interface Op {
  name: string;
  /** Shape rule. @throws ShapeError naming the op, the operands and their shapes. */
  infer(inputs: readonly Value[], attributes: Attributes): { dtype: DataType; shape: Shape }[];
  /** ONNX form: emits nodes that compute `outputs`. */
  onnx(node: GraphNode, emitter: OnnxEmitter): void;
  /**
   * Gradient rule: given the gradient of each output (absent where nothing depends on it), the gradient of each
   * input for which `needed` is true, of the input's shape. Absent for ops through which no gradient flows.
   */
  gradient?(
    node: GraphNode,
    outputs: readonly (Value | undefined)[],
    needed: readonly boolean[],
  ): (Value | undefined)[];
  /** Floating-point operations that a product does, as dimensions whose product × 2 counts them. */
  macs?(node: GraphNode): Shape;
}

/** What an op may do while it is encoded. */
export interface OnnxEmitter {
  /** Name of a value in the ONNX graph. */
  nameOf(value: Value): string;
  /** Adds a node and returns its output's name; `outputs` names them where they are the op's own. */
  emit(opType: string, inputs: readonly string[], options?: OnnxNodeOptions): string;
  /** Adds (once) a one-dimensional int64 constant and returns its name. */
  int64(values: readonly number[]): string;
  /** Name of a one-dimensional int64 tensor that holds `shape`, symbols read from the inputs that carry them. */
  shapeTensor(shape: Shape): string;
}

export interface OnnxNodeOptions {
  domain?: string;
  outputs?: readonly string[];
  attributes?: Readonly<Record<string, number | string | readonly number[] | { float: number }>>;
}
