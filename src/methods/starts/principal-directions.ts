import { float32, type Tensor } from "../../graph/tensor.ts";
import { largestSingularValues } from "../singular-values.ts";

type Matrix = Tensor<"float32">;

/** Directions of a matrix `[rows, width]` with its largest singular values: `left · diag(values) · right` is near the matrix. */
export interface Directions {
  /** Columns of length 1, `[rows, rank]`. */
  left: Matrix;
  /** In falling order. */
  values: readonly number[];
  /** Rows of length 1, `[rank, width]`. */
  right: Matrix;
}

/**
 * The `rank` directions of a matrix with the largest singular values.
 * @param tolerance largest error, see {@link largestSingularValues}
 */
export function principalDirections(matrix: Matrix, rank: number, tolerance?: number): Directions {
  const [rows, width] = matrix.shape as [number, number];
  const largest = largestSingularValues(matrix, rank, tolerance);
  const [left, right] = [float32([rows, rank]), float32([rank, width])];
  largest.forEach((each, i) => {
    right.data.set(each.right, i * width);
    each.left.forEach((value, row) => {
      left.data[row * rank + i] = value;
    });
  });
  return { left, values: largest.map(({ value }) => value), right };
}
