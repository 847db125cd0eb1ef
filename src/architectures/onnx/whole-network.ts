import type { Network } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import type { Shape } from "../../graph/dimension.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import type { DataType } from "../../graph/tensor.ts";
import { ForwardContext } from "../forward-context.ts";
import type { Known } from "./constant-folding.ts";
import { NetworkWriter } from "./write-network.ts";

export type NetworkInput = { dtype: DataType; shape: Shape } | number;

/** Writes an ONNX file's whole computation into a graph, for inference only. */
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
