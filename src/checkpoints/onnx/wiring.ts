import { ASKS_SIZES, type Network, type NetworkNode } from "./network.ts";

/** Index of a network's values: the nodes that compute and read them. */
export class Wiring {
  readonly #makers = new Map<string, NetworkNode>();
  readonly #readers = new Map<string, NetworkNode[]>();

  constructor(private readonly network: Pick<Network, "nodes" | "tensors" | "outputs">) {
    for (const node of network.nodes) {
      for (const output of node.outputs) this.#makers.set(output, node);
      for (const input of new Set(node.inputs)) {
        const readers = this.#readers.get(input) ?? [];
        readers.push(node);
        this.#readers.set(input, readers);
      }
    }
  }

  /** Returns the node that computes a value; undefined for inputs and tensors. */
  maker(name: string | undefined): NetworkNode | undefined {
    return name === undefined ? undefined : this.#makers.get(name);
  }

  readers(name: string): readonly NetworkNode[] {
    return this.#readers.get(name) ?? [];
  }

  /** Returns the only node that reads a value, unless the value is an output of the network. */
  onlyReader(name: string): NetworkNode | undefined {
    const [reader, ...others] = this.readers(name);
    return others.length > 0 || this.network.outputs.some((output) => output.name === name) ? undefined : reader;
  }

  /** Returns the value of a tensor that is a single number. */
  scalar(name: string | undefined): number | undefined {
    const values = name === undefined ? undefined : this.network.tensors.get(name)?.values;
    return values?.length === 1 ? values[0] : undefined;
  }

  /** Splits two inputs into a single number and the other value. */
  withScalar({ inputs: [a, b] }: NetworkNode): { value: string; number: number } | undefined {
    for (const [value, scalar] of [
      [a, b],
      [b, a],
    ] as const) {
      const number = this.scalar(scalar);
      if (number !== undefined && value !== undefined) return { value, number };
    }
    return undefined;
  }

  /**
   * Returns the first nodes that `stops` accepts, from some values on. Skips nodes that read only sizes.
   * @param stops whether a node is a result; the walk does not continue beyond it
   */
  reachable(from: readonly string[], direction: "back" | "on", stops: (node: NetworkNode) => boolean): NetworkNode[] {
    const found = new Set<NetworkNode>();
    const seen = new Set<string>();
    const stack = [...from];
    for (let name = stack.pop(); name !== undefined; name = stack.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const maker = this.#makers.get(name);
      const next = direction === "on" ? this.readers(name) : maker ? [maker] : [];
      for (const node of next) {
        if (ASKS_SIZES.has(node.op)) continue;
        if (stops(node)) found.add(node);
        else stack.push(...(direction === "on" ? node.outputs : node.inputs));
      }
    }
    return [...found];
  }
}
