import type { Tensor } from "../../graph/tensor.ts";
import { isSame } from "./run-state.ts";

/** What a graph gives of a shard, by the names of its outputs. */
export type Results = Record<string, Tensor>;

/** How far results may be from this machine's, of their norm, where processors are mixed. */
const NEAR = 1e-3;

/** What is wrong with the form of results; undefined where nothing is. */
export function whyWrong(results: Results, shapes: ReadonlyMap<string, readonly number[]>): string | undefined {
  const wrong = [...shapes].find(
    ([output, shape]) => results[output]?.dtype !== "float32" || results[output].shape.join() !== shape.join(),
  );
  if (wrong) return `its result "${wrong[0]}" should be float32 [${wrong[1].join(", ")}]`;
  return Object.keys(results).length === shapes.size ? undefined : "its results are more than were asked for";
}

/** Whether every number is finite. */
export const areFinite = (results: Results): boolean =>
  Object.values(results).every(({ data }) => (data as Float32Array).every(Number.isFinite));

/** Whether all are the same to the bit. */
export const isEqual = (a: Results, b: Results): boolean =>
  Object.entries(a).every(([output, { data }]) => isSame(data, b[output]!.data));

/** Whether results differ by rounding alone. */
export function isNear(a: Results, b: Results): boolean {
  let [difference, norm] = [0, 0];
  for (const [output, { data }] of Object.entries(b)) {
    const other = a[output]!.data as Float32Array;
    (data as Float32Array).forEach((value, i) => {
      difference += (value - other[i]!) ** 2;
      norm += value ** 2;
    });
  }
  return difference <= NEAR ** 2 * norm;
}
