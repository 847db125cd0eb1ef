import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Tensor } from "../graph/tensor.ts";
import { randomFor } from "./initializers.ts";

type Matrix = Tensor<"float32">;

/** A singular value of a matrix `[rows, width]` with its vectors. */
export interface SingularValue {
  value: number;
  /** `[rows]` */
  left: Float64Array;
  /** `[width]` */
  right: Float64Array;
}

/** Default of the largest error of a singular vector pair, relative to the largest singular value. */
const TOLERANCE = 1e-6;

/** Share of a vector's norm below which its remainder after orthogonalization counts as a rounding error. */
const ROUNDING = 1e-12;

/**
 * The `count` largest singular values, in falling order, by Golub-Kahan bidiagonalization (SIAM J. Numer. Anal. 2(2), 1965) in double
 * precision: k products with the matrix in each direction yield a matrix `[k, k]` whose largest singular values soon converge to those
 * of the whole matrix. Vectors are orthogonalized against all earlier ones. The start vector is fixed, so the result is deterministic.
 * @param tolerance largest error of a pair of vectors, relative to the largest singular value
 */
export function largestSingularValues(matrix: Matrix, count: number, tolerance = TOLERANCE): SingularValue[] {
  const [rows, width] = matrix.shape as [number, number];
  // With the shorter side last, at most as many steps as its length find all values.
  const turned = rows < width;
  const [times, timesTransposed] = turned ? [transposedProduct, product] : [product, transposedProduct];
  const random = randomFor(0, "bidiagonalisation");
  const most = Math.min(rows, width);
  const lefts: Float64Array[] = [];
  const rights = [nextDirection(new Float64Array(most), [], random).direction];
  const diagonal: number[] = [];
  const above: number[] = [];
  for (let steps = Math.min(most, 2 * count + 8); ; steps = Math.min(most, Math.ceil(1.25 * steps))) {
    while (diagonal.length < steps) {
      const left = nextDirection(times(matrix, rights.at(-1)!), lefts, random);
      lefts.push(left.direction);
      diagonal.push(left.length);
      const right = nextDirection(timesTransposed(matrix, left.direction), rights, random);
      rights.push(right.direction);
      above.push(right.length);
    }
    // A bidiagonal matrix times its transpose is tridiagonal; its eigenvectors are the left singular vectors.
    const squares = Float64Array.from(diagonal, (value, i) => value ** 2 + (i < steps - 1 ? above[i]! ** 2 : 0));
    const links = Float64Array.from({ length: steps - 1 }, (_, i) => diagonal[i + 1]! * above[i]!);
    const unit = (place: number): Float64Array => new Float64Array(steps).fill(1, place, place + 1);
    const last = unit(steps - 1);
    const values = tridiagonalEigenvalues(squares, links, [last]);
    const places = [...values.keys()].sort((a, b) => values[b]! - values[a]!).slice(0, count);
    // The transposed matrix times a left vector differs from its right vector by this much along the next direction.
    const farthest = Math.max(...places.map((place) => Math.abs(last[place]! * above.at(-1)!)));
    if (steps < most && farthest > tolerance * Math.sqrt(values[places[0]!]!)) continue;
    const vectors = Array.from({ length: steps }, (_, row) => unit(row));
    tridiagonalEigenvalues(squares, links, vectors);
    return places.map((place) => {
      const leftWeights = Float64Array.from(vectors, (row) => row[place]!);
      const rightWeights = leftWeights.map(
        (own, i) => diagonal[i]! * own + (i > 0 ? above[i - 1]! * leftWeights[i - 1]! : 0),
      );
      const value = Math.sqrt(dot(rightWeights, rightWeights));
      const left = combination(lefts, leftWeights);
      const right = combination(
        rights,
        rightWeights.map((own) => own / (value || 1)),
      );
      return turned ? { value, left: right, right: left } : { value, left, right };
    });
  }
}

/** Orthogonalizes a vector against `others`. Returns its unit vector and its remaining norm; a random direction if nothing remains. */
function nextDirection(
  vector: Float64Array,
  others: readonly Float64Array[],
  random: RandomGenerator,
): { direction: Float64Array; length: number } {
  const before = Math.sqrt(dot(vector, vector));
  // A single pass leaves rounding errors.
  for (let time = 0; time < 2; time++) for (const other of others) subtract(vector, dot(vector, other), other);
  const length = Math.sqrt(dot(vector, vector));
  if (length > ROUNDING * before) return { direction: vector.map((value) => value / length), length };
  if (others.length >= vector.length) return { direction: new Float64Array(vector.length), length: 0 };
  const drawn = vector.map(() => 2 * uniformFloat64(random) - 1);
  return { direction: nextDirection(drawn, others, random).direction, length: 0 };
}

/**
 * Eigenvalues of a symmetric tridiagonal matrix with these diagonal and off-diagonal entries, by implicit QR steps with Wilkinson's
 * shift (Golub and Van Loan, Matrix Computations, section 8.3).
 * @param rows of a matrix that is multiplied by that of the eigenvectors, in place. Rows of the identity yield their components
 */
function tridiagonalEigenvalues(
  diagonal: Float64Array,
  beside: Float64Array,
  rows: readonly Float64Array[],
): Float64Array {
  const values = diagonal.slice();
  const links = beside.slice();
  const negligible = Number.EPSILON * values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let end = values.length - 1; end > 0; ) {
    if (Math.abs(links[end - 1]!) <= negligible) {
      end--;
      continue;
    }
    let start = end - 1;
    while (start > 0 && Math.abs(links[start - 1]!) > negligible) start--;
    const half = (values[end - 1]! - values[end]!) / 2;
    const link = links[end - 1]!;
    const shift = values[end]! - (link * link) / (half + (half < 0 ? -1 : 1) * Math.hypot(half, link));
    let along = values[start]! - shift;
    let bulge = links[start]!;
    for (let k = start; k < end; k++) {
      const length = Math.hypot(along, bulge);
      const cosine = length === 0 ? 1 : along / length;
      const sine = length === 0 ? 0 : bulge / length;
      if (k > start) links[k - 1] = length;
      const [upper, lower, own] = [values[k]!, values[k + 1]!, links[k]!];
      const mixed = 2 * cosine * sine * own;
      values[k] = cosine * cosine * upper + mixed + sine * sine * lower;
      values[k + 1] = sine * sine * upper - mixed + cosine * cosine * lower;
      along = (cosine * cosine - sine * sine) * own + cosine * sine * (lower - upper);
      links[k] = along;
      if (k < end - 1) {
        bulge = sine * links[k + 1]!;
        links[k + 1]! *= cosine;
      }
      for (const row of rows) {
        const [first, second] = [row[k]!, row[k + 1]!];
        row[k] = cosine * first + sine * second;
        row[k + 1] = cosine * second - sine * first;
      }
    }
  }
  return values;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function subtract(from: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < from.length; i++) from[i]! -= factor * vector[i]!;
}

/** Weighted sum of vectors. There may be fewer factors than vectors. */
function combination(vectors: readonly Float64Array[], factors: Float64Array): Float64Array {
  const sum = new Float64Array(vectors[0]!.length);
  factors.forEach((factor, i) => {
    subtract(sum, -factor, vectors[i]!);
  });
  return sum;
}

// Both products take four rows at a time, which hides the latency of additions. Each sum keeps its order.

function product({ shape, data }: Matrix, vector: Float64Array): Float64Array {
  const [rows, width] = shape as [number, number];
  const result = new Float64Array(rows);
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const start = row * width;
    let [first, second, third, fourth] = [0, 0, 0, 0];
    for (let column = 0, i = start; column < width; column++, i++) {
      const factor = vector[column]!;
      first += data[i]! * factor;
      second += data[i + width]! * factor;
      third += data[i + 2 * width]! * factor;
      fourth += data[i + 3 * width]! * factor;
    }
    result.set([first, second, third, fourth], row);
  }
  for (; row < rows; row++) {
    for (let column = 0; column < width; column++) result[row]! += data[row * width + column]! * vector[column]!;
  }
  return result;
}

function transposedProduct({ shape, data }: Matrix, vector: Float64Array): Float64Array {
  const [rows, width] = shape as [number, number];
  const result = new Float64Array(width);
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const [first, second, third, fourth] = vector.subarray(row, row + 4) as unknown as [number, number, number, number];
    for (let column = 0, i = row * width; column < width; column++, i++) {
      let sum = result[column]! + first * data[i]!;
      sum += second * data[i + width]!;
      sum += third * data[i + 2 * width]!;
      result[column] = sum + fourth * data[i + 3 * width]!;
    }
  }
  for (; row < rows; row++) {
    const factor = vector[row]!;
    for (let column = 0; column < width; column++) result[column]! += factor * data[row * width + column]!;
  }
  return result;
}
