import type { SparseTargets } from "../../../src/training/linear-head/feature-rows.ts";

/** Targets given as lists of each row's. */
export function denseTargets(rows: readonly (readonly number[])[]): SparseTargets {
  const entries = rows.map((row) => [...row.entries()].filter(([, value]) => value !== 0));
  const all = entries.flat();
  const starts = Int32Array.from([0, ...entries.map(({ length }) => length)]);
  for (let row = 1; row < starts.length; row++) starts[row]! += starts[row - 1]!;
  return {
    starts,
    outputs: Int32Array.from(all, ([output]) => output),
    values: Float32Array.from(all, ([, value]) => value),
  };
}
