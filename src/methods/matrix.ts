import { float32, type Tensor } from "../graph/tensor.ts";

type Matrix = Tensor<"float32">;

/** Multiplies each row by its factor, `[rows]`. */
export function scaleRows({ shape, data }: Matrix, { data: factors }: Tensor<"float32">): Matrix {
  const width = shape[1]!;
  return float32(
    shape,
    data.map((value, i) => value * factors[Math.floor(i / width)]!),
  );
}

/** Multiplies each column by its factor, `[columns]`. */
export function scaleColumns({ shape, data }: Matrix, { data: factors }: Tensor<"float32">): Matrix {
  const width = shape[1]!;
  return float32(
    shape,
    data.map((value, i) => value * factors[i % width]!),
  );
}

/** Product of matrices `[rows, inner]` and `[inner, columns]`. */
export function product(a: Matrix, b: Matrix): Matrix {
  const [rows, inner] = a.shape as [number, number];
  const columns = b.shape[1]!;
  const result = float32([rows, columns]);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (let k = 0; k < inner; k++) {
      const factor = a.data[row * inner + k]!;
      for (let column = 0, at = k * columns; column < columns; column++, at++) sums[column]! += factor * b.data[at]!;
    }
    result.data.set(sums, row * columns);
  }
  return result;
}

/** Exchanges rows and columns. */
export function transposed({ shape, data }: Matrix): Matrix {
  const [rows, columns] = shape as [number, number];
  const result = float32([columns, rows]);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, i++) result.data[column * rows + row] = data[i]!;
  }
  return result;
}

/** Returns the rows at `indices`. */
export function takeRows({ shape, data }: Matrix, indices: readonly number[]): Matrix {
  const width = shape[1]!;
  const taken = float32([indices.length, width]);
  indices.forEach((place, i) => {
    taken.data.set(data.subarray(place * width, (place + 1) * width), i * width);
  });
  return taken;
}

/** Returns the columns at `indices`. */
export const takeColumns = (matrix: Matrix, indices: readonly number[]): Matrix =>
  transposed(takeRows(transposed(matrix), indices));

/** Puts rows at their `indices` among `count` rows; the others are 0. */
export function spreadRows({ shape, data }: Matrix, indices: readonly number[], count: number): Matrix {
  const width = shape[1]!;
  const spread = float32([count, width]);
  indices.forEach((place, i) => {
    spread.data.set(data.subarray(i * width, (i + 1) * width), place * width);
  });
  return spread;
}

/** Puts columns, multiplied by `scale`, at their `indices` among `count` columns; the others are 0. */
export function spreadColumns({ shape, data }: Matrix, indices: readonly number[], count: number, scale = 1): Matrix {
  const rows = shape[0]!;
  const spread = float32([rows, count]);
  for (let row = 0; row < rows; row++) {
    indices.forEach((place, i) => {
      spread.data[row * count + place] = data[row * indices.length + i]! * scale;
    });
  }
  return spread;
}

/** All indices: 0, 1, … `count` - 1. */
export const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
