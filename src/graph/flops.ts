import { evaluate, product } from "./dimension.ts";
import { liveNodes, type Provenance, type Value } from "./graph.ts";

/** Floating-point operations of a graph's products (two for each multiply and add), by part and pass. */
export type Flops = Record<Provenance["part"], Record<Provenance["pass"], number>>;

/**
 * Counts the operations of the nodes that `outputs` need. The returned function gives them for any sizes of the
 * symbols. Element-wise work is left out, as is usual: it is less than a hundredth.
 */
export function countFlops(outputs: readonly Value[]): (sizes: Readonly<Record<string, number>>) => Flops {
  // Nodes of one kind and one size are counted together: a step has thousands of nodes but few sizes.
  const terms = new Map<string, { provenance: Provenance; dimension: ReturnType<typeof product>; count: number }>();
  for (const node of liveNodes(outputs)) {
    if (!node.op.macs) continue;
    const { provenance } = node;
    const dimension = product(node.op.macs(node));
    const key = `${provenance.part} ${provenance.pass} ${dimension}`;
    const term = terms.get(key) ?? { provenance, dimension, count: 0 };
    term.count++;
    terms.set(key, term);
  }
  return (sizes) => {
    const flops: Flops = { base: { forward: 0, backward: 0 }, adapter: { forward: 0, backward: 0 } };
    for (const { provenance, dimension, count } of terms.values()) {
      flops[provenance.part][provenance.pass] += 2 * count * evaluate(dimension, sizes);
    }
    return flops;
  };
}

export function totalFlops({ base, adapter }: Flops): number {
  return base.forward + base.backward + adapter.forward + adapter.backward;
}
