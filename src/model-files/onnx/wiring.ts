import { ASKS_SIZES, type Network, type NetworkNode } from "./network.ts";

/** Which nodes make a network's values, and which read them. */
export class Wiring {
  readonly #network: Pick<Network, "tensors" | "outputs">;
  readonly #makers = new Map<string, NetworkNode>();
  readonly #readers = new Map<string, NetworkNode[]>();

  constructor(network: Pick<Network, "nodes" | "tensors" | "outputs">) {
    this.#network = network;
    for (const node of network.nodes) {
      for (const output of node.outputs) this.#makers.set(output, node);
      for (const input of new Set(node.inputs)) {
        const readers = this.#readers.get(input) ?? [];
        readers.push(node);
        this.#readers.set(input, readers);
      }
    }
  }

  /** The node that makes a value; undefined of inputs and tensors. */
  maker(name: string | undefined): NetworkNode | undefined {
    return name === undefined ? undefined : this.#makers.get(name);
  }

  readers(name: string): readonly NetworkNode[] {
    return this.#readers.get(name) ?? [];
  }

  /** The only node that reads a value, which is no output of the network. */
  onlyReader(name: string): NetworkNode | undefined {
    const [reader, ...others] = this.readers(name);
    return others.length > 0 || this.#network.outputs.some((output) => output.name === name) ? undefined : reader;
  }

  /** A tensor that is a single number. */
  scalar(name: string | undefined): number | undefined {
    const values = name === undefined ? undefined : this.#network.tensors.get(name)?.values;
    return values?.length === 1 ? values[0] : undefined;
  }

  /** Of two inputs the one that is this number, and the other. */
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
   * Nodes that are met from some values on, against the flow or with it; what only asks for sizes is passed over.
   * @param stops whether a node is what is looked for; behind it nothing is looked at
   */
  met(from: readonly string[], direction: "back" | "on", stops: (node: NetworkNode) => boolean): NetworkNode[] {
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
