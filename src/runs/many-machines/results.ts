import { areFinite as isFiniteData, type Tensor } from "../../graph/tensor.ts";
import { isSame } from "./run-state.ts";

/** Results of a graph for a shard, by output name. */
export type Results = Record<string, Tensor>;

/** Largest relative distance (in norm) from this machine's results if processors are mixed. */
const TOLERANCE = 1e-3;

/** Describes an error in the names or shapes of results; undefined if there is none. */
export function whyWrong(results: Results, shapes: ReadonlyMap<string, readonly number[]>): string | undefined {
  const wrong = [...shapes].find(
    ([output, shape]) => results[output]?.dtype !== "float32" || results[output].shape.join() !== shape.join(),
  );
  if (wrong) return `its result "${wrong[0]}" should be float32 [${wrong[1].join(", ")}]`;
  return Object.keys(results).length === shapes.size ? undefined : "its results are more than were asked for";
}

/** Whether every number is finite. */
export const areFinite = (results: Results): boolean =>
  Object.values(results).every(({ data }) => isFiniteData(data as Float32Array));

/** Whether all results are equal to the bit. */
export const isEqual = (a: Results, b: Results): boolean =>
  Object.entries(a).every(([output, { data }]) => isSame(data, b[output]!.data));

/** Whether results differ by rounding only. */
export function isNear(a: Results, b: Results): boolean {
  let [difference, norm] = [0, 0];
  for (const [output, { data }] of Object.entries(b)) {
    const other = a[output]!.data as Float32Array;
    (data as Float32Array).forEach((value, i) => {
      difference += (value - other[i]!) ** 2;
      norm += value ** 2;
    });
  }
  return difference <= TOLERANCE ** 2 * norm;
}
