import { UserError } from "../../errors.ts";
import type { Network, NetworkBranch, NetworkNode, NetworkPort, NetworkTensor } from "./network.ts";

/** A graph as a file has it, which may read the values of the graphs around it. */
export interface FileGraph {
  nodes: FileNode[];
  tensors: Map<string, NetworkTensor>;
  inputs: NetworkPort[];
  outputs: NetworkPort[];
}

interface FileNode extends Omit<NetworkNode, "branches" | "layer"> {
  /** Those of its attributes that are graphs, by their names. */
  graphs: ReadonlyMap<string, FileGraph>;
}

/**
 * The network of a file's graph. Tensors of the graphs in its nodes stand beside its own, and values of these have names of their own: what a
 * name means in a file depends on where it stands.
 * @throws UserError where a node reads what no node before it makes.
 */
export function networkOf(location: string, graph: FileGraph): Network {
  const tensors = new Map<string, NetworkTensor>();
  let count = 0;

  /** @param outer finds what a value of the graphs around is called */
  function named(
    graph: FileGraph,
    prefix: string,
    outer: (name: string) => string | undefined,
  ): NetworkBranch & { reads: string[] } {
    const names = new Map<string, string>();
    const make = (name: string): string => {
      const own = name === "" ? "" : prefix + name;
      names.set(name, own);
      return own;
    };
    const find = (name: string): string | undefined => names.get(name) ?? outer(name);
    const read = (reader: string, name: string): string => {
      const own = find(name);
      if (own !== undefined) return own;
      throw new UserError(`${location}: ${reader} reads "${name}", which no node before it makes; the file is damaged`);
    };
    for (const [name, tensor] of graph.tensors) tensors.set(make(name), tensor);
    const inputs = graph.inputs.map(({ name }) => make(name));
    const nodes = graph.nodes.map(({ graphs, ...node }): NetworkNode => {
      const own = node.inputs.map((name) => read(`node "${node.name}"`, name));
      const branches = [...graphs].map(([key, inner]) => [key, named(inner, `branch${++count}.`, find)] as const);
      const reads = new Set(branches.flatMap(([, branch]) => branch.reads));
      return {
        ...node,
        inputs: [...own, ...reads],
        outputs: node.outputs.map(make),
        ...(branches.length > 0 && { branches: Object.fromEntries(branches) }),
      };
    });
    const outputs = graph.outputs.map(({ name }) => read("an output", name));
    const made = new Set(["", ...inputs, ...nodes.flatMap((node) => node.outputs)]);
    const reads = [...nodes.flatMap((node) => node.inputs), ...outputs].filter((name) => !made.has(name));
    return { nodes, outputs, reads };
  }

  const { nodes } = named(graph, "", (name) => (name === "" ? "" : undefined));
  const { inputs, outputs } = graph;
  return { location, nodes, tensors, outputs, inputs: inputs.filter(({ name }) => !tensors.has(name)) };
}
