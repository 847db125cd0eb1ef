import { evaluate, product } from "./dimension.ts";
import { liveLeaves, liveNodes, type Value } from "./graph.ts";
import { ELEMENT_SIZE } from "./tensor.ts";

/**
 * Estimates the peak memory of the values of a graph's run, in bytes. The returned function gives it for any sizes of
 * the symbols. Nodes run in order; a value is kept until the last node that reads it, inputs and outputs to the end.
 * Weights are not counted. A runtime that computes in place needs less; one that cannot reuse gaps needs more.
 */
export function planMemory(outputs: readonly Value[]): (sizes: Readonly<Record<string, number>>) => number {
  const nodes = liveNodes(outputs);
  // A view takes no memory and keeps the value that it views alive.
  const storageOf = (value: Value): Value => (value.node?.op.view ? storageOf(value.node.inputs[0]!) : value);
  const lastRead = new Map<Value, number>();
  nodes.forEach(({ inputs }, time) => {
    for (const input of inputs) lastRead.set(storageOf(input), time);
  });
  for (const output of outputs) lastRead.set(storageOf(output), nodes.length);
  const held = liveLeaves(outputs).filter(({ leaf }) => leaf!.kind === "input");
  /** Values that each node computes, without those that are never read. */
  const made = nodes.map(({ op, outputs }) => (op.view ? [] : outputs.filter((output) => lastRead.has(output))));
  const freed: Value[][] = nodes.map(() => []);
  for (const [value, time] of lastRead) if (value.node && time < nodes.length) freed[time]!.push(value);
  return (sizes) => {
    const known = new Map<string, number>();
    const bytes = ({ dtype, shape }: Value): number => {
      const key = shape.join();
      const count = known.get(key) ?? evaluate(product(shape), sizes);
      known.set(key, count);
      return count * ELEMENT_SIZE[dtype];
    };
    const sum = (values: readonly Value[]): number => values.reduce((total, value) => total + bytes(value), 0);
    let now = sum(held);
    let most = now;
    for (let time = 0; time < nodes.length; time++) {
      now += sum(made[time]!);
      most = Math.max(most, now);
      now -= sum(freed[time]!);
    }
    return most;
  };
}
