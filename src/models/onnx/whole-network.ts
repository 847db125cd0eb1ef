import { UserError } from "../../errors.ts";
import type { Shape } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import type { DataType } from "../../graph/tensor.ts";
import type { Network } from "../../model-files/onnx/network.ts";
import { ForwardContext } from "../forward-context.ts";
import type { Known } from "./known.ts";
import { NetworkWriter } from "./write-network.ts";

/** An input of a network: one that is fed as the graph runs, or a whole number that is known before. */
export type NetworkInput = { dtype: DataType; shape: Shape } | number;

/**
 * Writes all that an ONNX file computes, as it is, into a graph: to run it, not to train it.
 * @param inputs of the network by name; leaves of these names are fed, and branches that hang on the numbers are chosen
 * @returns its outputs by name, and the weights that these read, by their names in the file
 * @throws UserError naming the node or input where an operator, an option or an input is not known.
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
