import { Graph } from "../graph/graph.ts";
import { gemm } from "../graph/ops.ts";
import { asFloat64, float64, type Tensor } from "../graph/tensor.ts";
import type { CompiledGraph } from "../runtime/compiled-graph.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Turns } from "../runtime/turns.ts";

export type Matrix = Tensor<"float64">;

interface ProductForm {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
}

/** Products of float64 matrices of any size, by ONNX Runtime, whose products are far faster than loops. */
export class Products {
  readonly #compiled = new Map<string, Promise<CompiledGraph>>();

  constructor(private readonly runtime: Runtime) {}

  /** `alpha · op(a) · op(b) + addend` */
  async product(a: Matrix, b: Matrix, form: ProductForm = {}, addend?: Matrix): Promise<Matrix> {
    const key = `${JSON.stringify(form)}${addend !== undefined}`;
    const compiled = this.#compiled.get(key) ?? this.#compile(form, addend !== undefined);
    this.#compiled.set(key, compiled);
    const { product } = await (await compiled).run({ a, b, ...(addend && { addend }) });
    return asFloat64(product!);
  }

  #compile({ transA = false, transB = false, alpha = 1 }: ProductForm, adds: boolean): Promise<CompiledGraph> {
    const graph = new Graph();
    const matrix = (name: string, rows: string, columns: string) =>
      graph.leaf("input", name, "float64", [rows, columns]);
    const a = transA ? matrix("a", "inner", "rows") : matrix("a", "rows", "inner");
    const b = transB ? matrix("b", "columns", "inner") : matrix("b", "inner", "columns");
    const addend = adds ? matrix("addend", "rows", "columns") : undefined;
    return this.runtime.compile({ product: gemm(a, b, { transA, transB, alpha, addend }) }, new Map());
  }

  async release(): Promise<void> {
    for (const compiled of this.#compiled.values()) await (await compiled).release();
    this.#compiled.clear();
  }
}

/** Largest width that is inverted by elimination. Wider matrices are cut in four. */
const SMALL = 64;

/**
 * Inverts a symmetric positive definite matrix from the inverses of its upper left quarter and of that quarter's Schur complement, so that
 * almost all operations are matrix products (Golub and Van Loan, "Matrix Computations", 3.2.11).
 */
export async function positiveInverse(matrix: Matrix, products: Products): Promise<Matrix> {
  const width = matrix.shape[0]!;
  if (width <= SMALL) return float64([width, width], eliminated(matrix.data, width));
  const half = width >> 1;
  const [low, high] = [[0, half] as const, [half, width] as const];
  const side = part(matrix, low, high);
  const inverse = await positiveInverse(part(matrix, low, low), products);
  const moved = await products.product(inverse, side);
  const complement = await products.product(side, moved, { transA: true, alpha: -1 }, part(matrix, high, high));
  const last = await positiveInverse(complement, products);
  const across = await products.product(moved, last);
  const first = await products.product(across, moved, { transB: true }, inverse);
  const result = float64([width, width]);
  // Each entry is set with its mirror image, so that the result is symmetric to the bit.
  for (let row = 0; row < width; row++) {
    const isFirst = row < half;
    for (let column = 0; column <= row; column++) {
      const value = isFirst
        ? first.data[row * half + column]!
        : column < half
          ? -across.data[column * (width - half) + row - half]!
          : last.data[(row - half) * (width - half) + column - half]!;
      result.data[row * width + column] = value;
      result.data[column * width + row] = value;
    }
  }
  return result;
}

type Range = readonly [from: number, to: number];

function part({ shape, data }: Matrix, [top, bottom]: Range, [left, right]: Range): Matrix {
  const result = float64([bottom - top, right - left]);
  for (let row = top; row < bottom; row++) {
    result.data.set(data.subarray(row * shape[1]! + left, row * shape[1]! + right), (row - top) * (right - left));
  }
  return result;
}

/** The inverse of a positive definite matrix `[width, width]` by Gauss-Jordan elimination, which needs no exchange of rows for these. */
export function eliminated(matrix: Float64Array, width: number): Float64Array {
  const inverse = matrix.slice();
  for (let pivot = 0; pivot < width; pivot++) {
    const own = inverse.subarray(pivot * width, (pivot + 1) * width);
    const divisor = own[pivot]!;
    own[pivot] = 1;
    for (let j = 0; j < width; j++) own[j]! /= divisor;
    for (let row = 0; row < width; row++) {
      if (row === pivot) continue;
      const times = inverse[row * width + pivot]!;
      inverse[row * width + pivot] = 0;
      for (let j = 0; j < width; j++) inverse[row * width + j]! -= times * own[j]!;
    }
  }
  return inverse;
}

/** A row is within the span of others if the square of its part outside is less than this share of the largest row's square. */
const WITHIN = 1e-12;

/**
 * The pivoted Cholesky factor L of a positive semidefinite matrix `L Lᵀ`, `[width, width]`: its columns, as many as the rank, and the row
 * at which each begins.
 */
export async function pivotedCholesky(
  matrix: Float64Array,
  width: number,
  turns: Turns,
): Promise<{ columns: Float64Array[]; pivots: number[] }> {
  const left = Float64Array.from({ length: width }, (_, row) => matrix[row * width + row]!);
  const enough = WITHIN * left.reduce((largest, each) => Math.max(largest, each), 0);
  const columns: Float64Array[] = [];
  const pivots: number[] = [];
  const next = (): number => left.reduce((best, each, row) => (each > left[best]! ? row : best), 0);
  // Nothing is left of a row once it is the pivot, so that the rows end the loop.
  for (let pivot = next(); left[pivot]! > enough; pivot = next()) {
    const column = matrix.slice(pivot * width, (pivot + 1) * width);
    for (const other of columns) {
      const share = other[pivot]!;
      for (let row = 0; row < width; row++) column[row]! -= share * other[row]!;
    }
    const size = Math.sqrt(column[pivot]!);
    for (let row = 0; row < width; row++) {
      column[row]! /= size;
      left[row]! -= column[row]! ** 2;
    }
    left[pivot] = 0;
    columns.push(column);
    pivots.push(pivot);
    await turns.give();
  }
  return { columns, pivots };
}

export function dot(a: Float64Array, b: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let j = 0;
  // Four independent sums.
  for (; j + 4 <= a.length; j += 4) {
    s0 += a[j]! * b[j]!;
    s1 += a[j + 1]! * b[j + 1]!;
    s2 += a[j + 2]! * b[j + 2]!;
    s3 += a[j + 3]! * b[j + 3]!;
  }
  for (; j < a.length; j++) s0 += a[j]! * b[j]!;
  return s0 + s1 + (s2 + s3);
}

export const sum = (values: Float64Array): number => values.reduce((total, each) => total + each, 0);
