import type { Tensor } from "../../graph/tensor.ts";
import type { StoredType } from "../stored-values.ts";

/** A tensor of the file: a weight, or a constant. */
export interface NetworkTensor {
  dtype: StoredType;
  shape: readonly number[];
  /** Its elements, where it is a single number or a short list of whole ones: shapes, axes, indices. */
  values?: readonly number[] | undefined;
  /**
   * The tensor in float32. Its elements are the caller's own.
   * @throws UserError where the file ends too early.
   */
  read(): Promise<Tensor<"float32">>;
}

export type NodeAttribute = number | string | readonly number[];

/** A layer `x W + bias`, of a weight that the file holds. */
export interface NetworkLayer {
  /** After its weight, its bias or its node: `encoder.layer.0.attention.self.query`. Its tensors are `<name>.weight` `[out, in]` and `<name>.bias`. */
  name: string;
  /** Whether it stands beside a softmax between two products; absent before the first of these, where no block has begun. */
  role?: "attention" | "ffn";
  /** Number of such attentions that are done before the one that it stands beside or behind. */
  block: number;
  inFeatures: number;
  outFeatures: number;
  bias: boolean;
}

/** An application of an operator to tensors by name; of an input that is left out the name is empty. */
export interface NetworkNode {
  /** With its domain where that is not ONNX's own: `com.microsoft.MatMulNBits`. */
  op: string;
  name: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, NodeAttribute>>;
  /** The module that it is part of, where the file says so. */
  module?: string | undefined;
  /** Present where it is one: its only input is `x`. */
  layer?: NetworkLayer;
  /** Graphs that are attributes of it, by their names; what they read of the graph around them stands behind its own inputs. */
  branches?: Readonly<Record<string, NetworkBranch>> | undefined;
}

/** A graph in a node, such as what an `If` computes where its condition holds. */
export interface NetworkBranch {
  nodes: readonly NetworkNode[];
  outputs: readonly string[];
}

/** An input or output; of its shape numbers are known, and names of what is not. */
export interface NetworkPort {
  name: string;
  shape: readonly (number | string)[] | undefined;
}

/** What an ONNX file computes. */
export interface Network {
  /** The file, for error messages. */
  location: string;
  /** Each after those whose outputs it reads. */
  nodes: readonly NetworkNode[];
  tensors: ReadonlyMap<string, NetworkTensor>;
  inputs: readonly NetworkPort[];
  outputs: readonly NetworkPort[];
}

/** The op of a node that is a {@link NetworkLayer}. */
export const LAYER = "Linear";

/** What only asks for the sizes of a value. */
export const ASKS_SIZES: ReadonlySet<string> = new Set(["Shape", "Size"]);

/** Products of two values. */
export const PRODUCTS: ReadonlySet<string> = new Set(["MatMul", "com.microsoft.FusedMatMul"]);

/** Attention as one node, of operator sets from 23 on. */
export const ATTENTION = "Attention";

/** Nodes that some values need, in their order. */
export function nodesFor({ nodes }: Pick<Network, "nodes">, names: readonly string[]): NetworkNode[] {
  const needed = new Set(names);
  const chosen = nodes.toReversed().filter(({ inputs, outputs }) => {
    const isNeeded = outputs.some((output) => needed.has(output));
    if (isNeeded) for (const input of inputs) needed.add(input);
    return isNeeded;
  });
  return chosen.reverse();
}
