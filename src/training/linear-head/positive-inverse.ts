import { float64 } from "../../graph/tensor.ts";
import type { Matrix, Products } from "./products.ts";

/** Largest width that is inverted directly. Wider matrices are cut in four. */
const SMALL = 64;

/**
 * Inverts a symmetric positive definite matrix from the inverses of its upper left quarter and of that quarter's Schur complement, so that
 * almost all operations are matrix products (Golub and Van Loan, "Matrix Computations", 3.2.11).
 * @param matrix `[width, width]`
 */
export async function positiveInverse(matrix: Matrix, products: Products): Promise<Matrix> {
  const width = matrix.shape[0]!;
  if (width <= SMALL) return smallInverse(matrix);
  const half = width >> 1;
  const corner = part(matrix, [0, half], [0, half]);
  const side = part(matrix, [0, half], [half, width]);
  const inverse = await positiveInverse(corner, products);
  const moved = await products.product(inverse, side);
  const complement = await products.product(
    side,
    moved,
    { transA: true, alpha: -1 },
    part(matrix, [half, width], [half, width]),
  );
  const last = await positiveInverse(complement, products);
  const across = await products.product(moved, last);
  const first = await products.product(across, moved, { transB: true }, inverse);
  return joined(first, across, last);
}

type Range = readonly [from: number, to: number];

function part({ shape, data }: Matrix, [top, bottom]: Range, [left, right]: Range): Matrix {
  const result = float64([bottom - top, right - left]);
  for (let row = top; row < bottom; row++) {
    result.data.set(data.subarray(row * shape[1]! + left, row * shape[1]! + right), (row - top) * (right - left));
  }
  return result;
}

/** The matrix `[[first, -across], [-acrossᵀ, last]]`, symmetric to the bit. */
function joined(first: Matrix, across: Matrix, last: Matrix): Matrix {
  const [half, rest] = across.shape as [number, number];
  const width = half + rest;
  const result = float64([width, width]);
  const set = (row: number, column: number, value: number): void => {
    result.data[row * width + column] = value;
    result.data[column * width + row] = value;
  };
  for (let row = 0; row < half; row++) {
    for (let column = 0; column <= row; column++) set(row, column, first.data[row * half + column]!);
    for (let column = 0; column < rest; column++) set(row, half + column, -across.data[row * rest + column]!);
  }
  for (let row = 0; row < rest; row++) {
    for (let column = 0; column <= row; column++) set(half + row, half + column, last.data[row * rest + column]!);
  }
  return result;
}

/** Inverts by the Cholesky factor L of the matrix: L⁻ᵀ L⁻¹. */
function smallInverse({ shape, data }: Matrix): Matrix {
  const width = shape[0]!;
  const factor = data.slice();
  const inverse = new Float64Array(width * width);
  for (let row = 0; row < width; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = factor[row * width + column]!;
      for (let i = 0; i < column; i++) sum -= factor[row * width + i]! * factor[column * width + i]!;
      factor[row * width + column] = row === column ? Math.sqrt(sum) : sum / factor[column * width + column]!;
    }
    for (let column = 0; column <= row; column++) {
      let sum = row === column ? 1 : 0;
      for (let i = column; i < row; i++) sum -= factor[row * width + i]! * inverse[i * width + column]!;
      inverse[row * width + column] = sum / factor[row * width + row]!;
    }
  }
  const result = float64([width, width]);
  for (let row = 0; row < width; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = 0;
      for (let i = row; i < width; i++) sum += inverse[i * width + row]! * inverse[i * width + column]!;
      result.data[row * width + column] = sum;
      result.data[column * width + row] = sum;
    }
  }
  return result;
}
