import type { Dimension } from "../graph/dimension.ts";
import { product } from "../graph/dimension.ts";
import { elementsOf, type Tensor } from "../graph/tensor.ts";

/**
 * Range of a table's axis: the positions of a text, 0 to length - 1; the distances between two positions, length down
 * to 1 - length; or a fixed number of entries.
 */
export type TableAxis = "position" | "distance" | number;

/**
 * Numbers that depend only on positions, such as rotary angles, relative buckets or windows. An entry does not depend
 * on the length, so the table for a shorter text is a slice of that for a longer one.
 */
export interface LengthTable {
  dtype: "float32" | "int32";
  axes: readonly TableAxis[];
  /** Returns the entry at a position, distance or index for each axis. */
  value(...at: number[]): number;
}

export function tableShape<Length extends Dimension>({ axes }: LengthTable, length: Length): (Length | Dimension)[] {
  return axes.map((axis) => (axis === "position" ? length : axis === "distance" ? product([2, length]) : axis));
}

export function makeTable({ dtype, axes, value }: LengthTable, length: number): Tensor<"float32" | "int32"> {
  const shape = tableShape({ dtype, axes, value }, length) as number[];
  const size = elementsOf(shape);
  const data = dtype === "float32" ? new Float32Array(size) : new Int32Array(size);
  const at = new Array<number>(axes.length);
  for (let i = 0; i < size; i++) {
    for (let axis = axes.length - 1, rest = i; axis >= 0; axis--) {
      const entry = rest % shape[axis]!;
      rest = (rest - entry) / shape[axis]!;
      at[axis] = axes[axis] === "distance" ? length - entry : entry;
    }
    data[i] = value(...at);
  }
  return { dtype, shape, data } as Tensor<"float32" | "int32">;
}
