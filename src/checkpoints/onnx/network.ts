import type { Tensor } from "../../graph/tensor.ts";
import type { StoredType } from "../stored-values.ts";

/** A tensor of the file: a weight or a constant. */
export interface NetworkTensor {
  dtype: StoredType;
  shape: readonly number[];
  /** Its elements if it is a single number or a short list of integers: shapes, axes, indices. */
  values?: readonly number[] | undefined;
  /** Number of tensors that a read reads, this one included, if it is computed from others. */
  reads?: number;
  /**
   * Reads the tensor as float32, in an array of the caller's own.
   * @throws UserError if the file ends too early.
   */
  read(): Promise<Tensor<"float32">>;
}

export type NodeAttribute = number | string | readonly number[];

/** A layer `x W + bias` whose weight the file holds. */
export interface NetworkLayer {
  /** Name of its weight, bias or node: `encoder.layer.0.attention.self.query`. Its tensors are `<name>.weight` and `.bias`. */
  name: string;
  /** "attention" next to a softmax between two products, otherwise "ffn"; undefined before the first such attention. */
  role?: "attention" | "ffn";
  /** Index of the attention that it belongs to or follows. */
  block: number;
  inFeatures: number;
  outFeatures: number;
  bias: boolean;
}

/** An operator applied to tensors by name. The name of an omitted input is empty. */
export interface NetworkNode {
  /** With a domain unless it is ONNX's own: `com.microsoft.MatMulNBits`. */
  op: string;
  name: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, NodeAttribute>>;
  /** The module that contains it, if the file says so. */
  module?: string | undefined;
  /** Defined if the node is a layer: its only input is `x`. */
  layer?: NetworkLayer;
  /** Nested graphs by attribute. Values that they read from the enclosing graph follow the node's own inputs. */
  branches?: Readonly<Record<string, NetworkBranch>> | undefined;
}

/** A nested graph, such as a branch of an `If`. */
export interface NetworkBranch {
  nodes: readonly NetworkNode[];
  outputs: readonly string[];
}

/** An input or output. Its shape holds numbers, and names of sizes that are not known. */
export interface NetworkPort {
  name: string;
  shape: readonly (number | string)[] | undefined;
}

/** The computation of an ONNX file. */
export interface Network {
  /** The file's location, for error messages. */
  location: string;
  /** Each node follows those whose outputs it reads. */
  nodes: readonly NetworkNode[];
  tensors: ReadonlyMap<string, NetworkTensor>;
  inputs: readonly NetworkPort[];
  outputs: readonly NetworkPort[];
}

/** Op of a node with a {@link NetworkLayer}. */
export const LAYER = "Linear";

/** Ops that read only the sizes of a value. */
export const ASKS_SIZES: ReadonlySet<string> = new Set(["Shape", "Size"]);

/** Products of two values. */
export const PRODUCTS: ReadonlySet<string> = new Set(["MatMul", "com.microsoft.FusedMatMul"]);

/** Attention as one node, from operator set 23 on. */
export const ATTENTION = "Attention";

/** Returns the nodes that some values need, in order. */
export function nodesFor({ nodes }: Pick<Network, "nodes">, names: readonly string[]): NetworkNode[] {
  const needed = new Set(names);
  const chosen = nodes.toReversed().filter(({ inputs, outputs }) => {
    const isNeeded = outputs.some((output) => needed.has(output));
    if (isNeeded) for (const input of inputs) needed.add(input);
    return isNeeded;
  });
  return chosen.reverse();
}
