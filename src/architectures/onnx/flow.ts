import { ASKS_SIZES, type Network, type NetworkNode, nodesFor } from "../../checkpoints/onnx/network.ts";

export interface Flow {
  /** Nodes before the first block, in each block, and after the last. */
  before: readonly NetworkNode[];
  blocks: readonly (readonly NetworkNode[])[];
  after: readonly NetworkNode[];
  /** The value that enters each block, then the one that leaves the last: one more than blocks, or none. */
  cuts: readonly string[];
}

/**
 * Splits the nodes that lead to a value into blocks. Between two blocks, a single value must carry what is computed
 * from the input; otherwise there are no blocks.
 */
export function flowTo(network: Network, name: string, input: string, { isLookup = true } = {}): Flow {
  const nodes = nodesFor(network, [name]);
  const whole: Flow = { before: nodes, blocks: [], after: [], cuts: [] };
  const carried = isLookup ? carriedValues(nodes, network, input) : dependentValues(nodes, input);
  const lastRead = new Map<string, number>([[name, nodes.length]]);
  nodes.forEach(({ op, inputs }, i) => {
    if (ASKS_SIZES.has(op)) return;
    for (const each of inputs) if (each !== name) lastRead.set(each, i);
  });
  const live = new Set<string>();
  const cutAfter = new Map<number, string>();
  nodes.forEach(({ outputs }, i) => {
    for (const output of outputs) if (carried.has(output) && lastRead.has(output)) live.add(output);
    for (const each of live) if (lastRead.get(each)! <= i) live.delete(each);
    if (live.size === 1) cutAfter.set(i, [...live][0]!);
  });

  // The last cut before each block's first layer, and the last of all.
  const firsts: number[] = [];
  nodes.forEach(({ layer }, i) => {
    if (layer?.role && layer.block === firsts.length) firsts.push(i);
  });
  const cutPositions = [...firsts, nodes.length].map((first) => {
    for (let i = first - 1; i >= 0; i--) if (cutAfter.has(i)) return i;
    return -1;
  });
  const isIncreasing = cutPositions.every(
    (position, i) => position >= 0 && (i === 0 || (position >= firsts[i - 1]! && position > cutPositions[i - 1]!)),
  );
  if (firsts.length === 0 || !isIncreasing) return whole;
  return {
    before: nodes.slice(0, cutPositions[0]! + 1),
    blocks: firsts.map((_, i) => nodes.slice(cutPositions[i]! + 1, cutPositions[i + 1]! + 1)),
    after: nodes.slice(cutPositions.at(-1)! + 1),
    cuts: cutPositions.map((position) => cutAfter.get(position)!),
  };
}

function dependentValues(nodes: readonly NetworkNode[], input: string): Set<string> {
  const carried = new Set([input]);
  for (const { op, inputs, outputs } of nodes) {
    const leads = !ASKS_SIZES.has(op) && inputs.some((each) => carried.has(each));
    if (leads) for (const output of outputs) carried.add(output);
  }
  return carried;
}

function carriedValues(nodes: readonly NetworkNode[], { tensors }: Network, input: string): Set<string> {
  const indices = new Set([input]);
  const carried = new Set<string>();
  for (const { op, inputs, outputs } of nodes) {
    if (ASKS_SIZES.has(op)) continue;
    const table = op === "Gather" ? tensors.get(inputs[0] ?? "") : undefined;
    const looksUp = table !== undefined && table.values === undefined && indices.has(inputs[1] ?? "");
    if (looksUp || inputs.some((each) => carried.has(each))) for (const output of outputs) carried.add(output);
    else if (inputs.some((each) => indices.has(each))) for (const output of outputs) indices.add(output);
  }
  return carried;
}
