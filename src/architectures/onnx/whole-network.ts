import type { Network } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import type { Shape } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import type { DataType } from "../../graph/tensor.ts";
import { ForwardContext } from "../forward-context.ts";
import type { Known } from "./constant-folding.ts";
import { NetworkWriter } from "./write-network.ts";

/** An input of a network: one that is fed at each run, or a known integer. */
export type NetworkInput = { dtype: DataType; shape: Shape } | number;

/**
 * Writes an ONNX file's whole computation into a graph, for inference only.
 * @param inputs of the network by name; leaves of these names are fed, and integers select branches
 * @returns its outputs by name, and the names of the weights that they read
 * @throws UserError naming the node or input if an operator, an option or an input is not supported.
 */
export function writeWholeNetwork(
  network: Network,
  graph: Graph,
  inputs: ReadonlyMap<string, NetworkInput>,
): { outputs: Map<string, Value>; weights: string[] } {
  const context = new ForwardContext(graph, { trains: () => false, dropout: false });
  const ranks = new Map(network.inputs.map(({ name, shape }) => [name, shape?.map(() => 1)]));
  const input = (name: string): Value | Known => {
    const given = inputs.get(name);
    if (given === undefined) throw new UserError(`${network.location} reads "${name}"; say what it is`);
    if (typeof given === "number") return { dtype: "int64", shape: ranks.get(name) ?? [], elements: [given] };
    return graph.leaf("input", name, given.dtype, given.shape);
  };
  const writer = new NetworkWriter(network, context, input, "", { isTrained: false });
  for (const node of network.nodes) writer.write(node);
  const outputs = new Map(network.outputs.map(({ name }) => [name, writer.value(name)]));
  return { outputs, weights: [...context.weights.keys()] };
}
