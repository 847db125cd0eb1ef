import { UserError } from "../../errors.ts";
import type { Network, NetworkBranch, NetworkNode, NetworkPort, NetworkTensor } from "./network.ts";

/** A graph in the file's form. It may read values of enclosing graphs. */
export interface FileGraph {
  nodes: FileNode[];
  tensors: Map<string, NetworkTensor>;
  inputs: NetworkPort[];
  outputs: NetworkPort[];
}

interface FileNode extends Omit<NetworkNode, "branches" | "layer"> {
  graphs: ReadonlyMap<string, FileGraph>;
}

/**
 * Converts a file's graph to a network. Tensors of nested graphs join the outer ones, and their values get unique
 * names: in a file, a name's meaning depends on the graph.
 * @throws UserError if a node reads a value that no earlier node computes.
 */
export function networkOf(location: string, graph: FileGraph): Network {
  const tensors = new Map<string, NetworkTensor>();
  let count = 0;

  /** @param outer resolves names of enclosing graphs */
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
      throw new UserError(
        `${location}: ${reader} reads "${name}", which no earlier node computes; the file is damaged`,
      );
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
