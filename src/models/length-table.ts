import type { Dimension } from "../graph/dimension.ts";
import { product } from "../graph/dimension.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";

/**
 * What an axis of a table runs over: the positions of a text, 0 to length - 1; the distances of a position from another,
 * length down to 1 - length; or a fixed number of entries.
 */
export type TableAxis = "position" | "distance" | number;

/**
 * Numbers that depend on positions alone, such as rotary angles, relative buckets or the span of a window. An entry
 * depends on where it stands and not on the length, so a table for a shorter text is cut out of one for a longer text.
 */
export interface LengthTable {
  dtype: "float32" | "int32";
  axes: readonly TableAxis[];
  /** An entry at a position, distance or number for each axis. */
  value(...at: number[]): number;
}

/** A table's shape for texts padded to `length`, a number or a symbol. */
export function tableShape<Length extends Dimension>({ axes }: LengthTable, length: Length): (Length | Dimension)[] {
  return axes.map((axis) => (axis === "position" ? length : axis === "distance" ? product([2, length]) : axis));
}

/** The table for texts padded to `length`. */
export function makeTable({ dtype, axes, value }: LengthTable, length: number): Tensor<"float32" | "int32"> {
  const shape = tableShape({ dtype, axes, value }, length) as number[];
  const size = sizeOf(shape);
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
