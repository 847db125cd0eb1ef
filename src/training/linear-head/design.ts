import { float64 } from "../../graph/tensor.ts";
import type { Turns } from "../../runtime/turns.ts";
import { type Matrix, type Products, pivotedCholesky } from "../dense.ts";
import type { FeatureRows } from "./feature-rows.ts";

export interface LinearFunction {
  /** `[outputs, width]` */
  weight: Float64Array;
  /** `[outputs]` */
  bias: Float64Array;
}

/**
 * Rows in orthonormal coordinates of their own span. With the pivoted Cholesky factor L of `X Xᵀ = L Lᵀ`, the rows of X are those of L in
 * the basis `Q = L⁻¹ X`. Coordinates have as many columns as there are rows, not features.
 */
class Span {
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

/** @param x `[rows, features]` */
export async function spanOfRows(x: Matrix, products: Products, turns: Turns): Promise<Span> {
  const [rows, features] = x.shape as [number, number];
  const gram = await products.product(x, x, { transB: true });
  const { columns, pivots } = await pivotedCholesky(gram.data, rows, turns);
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

/**
 * Rows in the form that the solver takes. Features are centred and divided by one number, so that a row's mean square is 1 and a
 * penalty means the same for all features. If there are fewer rows than features, rows are written in coordinates of their own span.
 * Neither changes the fit: the bias is not penalised, and the coefficients of a penalised fit lie in the span of the rows.
 */
export class Design {
  readonly rows: number;
  /** Number of columns. The last one is 1 in all rows, and its coefficient is the bias. */
  readonly width: number;
  readonly outputs: number;
  /** `[rows]`: factors of the rows' losses. */
  readonly weights: Float64Array;

  private constructor(
    private readonly given: FeatureRows,
    /** `[rows]`: the number of each row among those given. */
    readonly order: Int32Array,
    /** `[rows, width]` */
    readonly values: Float64Array,
    private readonly mean: Float64Array,
    readonly scale: number,
    private readonly span?: Span,
  ) {
    this.rows = order.length;
    this.width = values.length / order.length;
    this.outputs = given.outputs;
    this.weights = Float64Array.from(order, (row) => given.weights[row]!);
  }

  static async of(given: FeatureRows, order: Int32Array, products: Products, turns: Turns): Promise<Design> {
    const { features, width } = given;
    const rows = order.length;
    const mean = new Float64Array(width);
    await turns.each(rows, width, (place) => {
      const row = order[place]! * width;
      for (let j = 0; j < width; j++) mean[j]! += features[row + j]! / rows;
    });
    let squares = 0;
    await turns.each(rows, width, (place) => {
      const row = order[place]! * width;
      for (let j = 0; j < width; j++) squares += (features[row + j]! - mean[j]!) ** 2;
    });
    const scale = Math.sqrt(squares / rows) || 1;
    /** Centred and scaled rows, `stride` apart; the rest of each row is 1. */
    const scaled = async (stride: number): Promise<Float64Array> => {
      const values = new Float64Array(rows * stride).fill(1);
      await turns.each(rows, width, (place) => {
        const row = order[place]! * width;
        for (let j = 0; j < width; j++) values[place * stride + j] = (features[row + j]! - mean[j]!) / scale;
      });
      return values;
    };
    if (rows >= width) return new Design(given, order, await scaled(width + 1), mean, scale);
    const span = await spanOfRows(float64([rows, width], await scaled(width)), products, turns);
    return new Design(given, order, span.coordinates, mean, scale, span);
  }

  /** Rows `from` to `to`, `[rows, width]`. */
  block(from: number, to: number): Matrix {
    return float64([to - from, this.width], this.values.subarray(from * this.width, to * this.width));
  }

  /** Calls `use` with each target of a place in `order` that is not 0. */
  forTargets(place: number, use: (output: number, value: number) => void): void {
    const { starts, outputs, values } = this.given.targets;
    const row = this.order[place]!;
    for (let entry = starts[row]!; entry < starts[row + 1]!; entry++) use(outputs[entry]!, values[entry]!);
  }

  /** Coefficients `[outputs, width]` as a function of the features that were given. */
  async functionOf(coefficients: Float64Array, products: Products): Promise<LinearFunction> {
    const { outputs, width, scale } = this;
    const features = this.mean.length;
    const own = new Float64Array(outputs * (width - 1));
    const bias = new Float64Array(outputs);
    for (let k = 0; k < outputs; k++) {
      own.set(coefficients.subarray(k * width, (k + 1) * width - 1), k * (width - 1));
      bias[k] = coefficients[(k + 1) * width - 1]!;
    }
    const weight = this.span ? await this.span.coefficientsOf(own, outputs, products) : own;
    for (let j = 0; j < weight.length; j++) weight[j]! /= scale;
    for (let k = 0; k < outputs; k++) {
      for (let j = 0; j < features; j++) bias[k]! -= weight[k * features + j]! * this.mean[j]!;
    }
    return { weight, bias };
  }
}
