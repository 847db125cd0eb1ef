import { float64 } from "../../graph/tensor.ts";
import type { Turns } from "../../runtime/turns.ts";
import type { Matrix, Products } from "./products.ts";

/** A row is within the span if the square of its part outside is less than this share of the largest row's square. */
const WITHIN = 1e-12;

/**
 * Rows in orthonormal coordinates of their own span. With the pivoted Cholesky factor L of `X Xᵀ = L Lᵀ`, the rows of X are those of L in
 * the basis `Q = L⁻¹ X`. Coordinates have as many columns as there are rows, not features.
 */
export class Span {
  constructor(
    /** `[rows, rank + 1]`: the coordinates of each row, and a 1. */
    readonly coordinates: Float64Array,
    /** `[rank, features]`: rows of X that span all others. */
    private readonly pivots: Matrix,
    /** `[rank, rank]`: the rows of L for these pivots, a lower triangle. */
    private readonly factor: Float64Array,
  ) {}

  /** Coefficients of coordinates `[outputs, rank]` as those of features, `[outputs, features]`: `own · Q = (own · L⁻¹) · X`. */
  async coefficientsOf(own: Float64Array, outputs: number, products: Products): Promise<Float64Array> {
    const rank = this.pivots.shape[0]!;
    const solved = own.slice();
    for (let start = 0; start < solved.length; start += rank) {
      for (let j = rank - 1; j >= 0; j--) {
        const value = solved[start + j]! / this.factor[j * rank + j]!;
        solved[start + j] = value;
        for (let i = 0; i < j; i++) solved[start + i]! -= value * this.factor[j * rank + i]!;
      }
    }
    return (await products.product(float64([outputs, rank], solved), this.pivots)).data;
  }
}

/** Computes the span of rows. @param x `[rows, features]` */
export async function spanOfRows(x: Matrix, products: Products, turns: Turns): Promise<Span> {
  const [rows, features] = x.shape as [number, number];
  const { data: gram } = await products.product(x, x, { transB: true });
  const left = Float64Array.from({ length: rows }, (_, row) => gram[row * rows + row]!);
  const enough = WITHIN * left.reduce((largest, each) => Math.max(largest, each), 0);
  /** Columns of L. */
  const columns: Float64Array[] = [];
  const pivots: number[] = [];
  const next = (): number => left.reduce((best, each, row) => (each > left[best]! ? row : best), 0);
  // Nothing is left of a row once it is the pivot, so that the rows end the loop.
  for (let pivot = next(); left[pivot]! > enough; pivot = next()) {
    const column = gram.slice(pivot * rows, (pivot + 1) * rows);
    for (const other of columns) {
      const share = other[pivot]!;
      for (let row = 0; row < rows; row++) column[row]! -= share * other[row]!;
    }
    const size = Math.sqrt(column[pivot]!);
    for (let row = 0; row < rows; row++) {
      column[row]! /= size;
      left[row]! -= column[row]! ** 2;
    }
    left[pivot] = 0;
    columns.push(column);
    pivots.push(pivot);
    await turns.give();
  }
  const rank = pivots.length;
  const coordinates = new Float64Array(rows * (rank + 1)).fill(1);
  columns.forEach((column, axis) => {
    for (let row = 0; row < rows; row++) coordinates[row * (rank + 1) + axis] = column[row]!;
  });
  const spanning = float64([rank, features]);
  const factor = new Float64Array(rank * rank);
  pivots.forEach((row, i) => {
    spanning.data.set(x.data.subarray(row * features, (row + 1) * features), i * features);
    factor.set(coordinates.subarray(row * (rank + 1), row * (rank + 1) + rank), i * rank);
  });
  return new Span(coordinates, spanning, factor);
}
