import { Turns } from "../../runtime/turns.ts";

export interface KnownFeatures {
  width: number;
  /** `[classes, width]` */
  means: Float32Array;
  /** `[rank, width]`: directions in which classes spread most. Each reduces the weight of lengths along it. */
  axes: Float32Array;
  /** Weight of a squared length in all other directions. */
  rest: number;
}

/** Number of directions whose spread within classes is estimated separately. */
const RANK = 64;
/** Shrinkage of the covariance towards that of features with the same spread in all directions. */
const SHRINKAGE = 0.5;
/** Iterations of the subspace iteration. A few suffice for the directions of the widest spread. */
const ITERATIONS = 4;

type Matrix = Float64Array[];

/**
 * Fits the means of classes and the shrunk covariance within them, and keeps the directions of the widest spread (by subspace
 * iteration): `Σ⁻¹ ≈ rest · I − axesᵀ axes`.
 * @param rows features `[width]` each
 */
export async function fitKnownFeatures(
  rows: readonly Float32Array[],
  classes: readonly number[],
  classCount: number,
  turns = new Turns(),
): Promise<KnownFeatures> {
  const width = rows[0]!.length;
  const counts = new Float64Array(classCount);
  const means = new Float64Array(classCount * width);
  rows.forEach((row, i) => {
    counts[classes[i]!]!++;
    for (let j = 0; j < width; j++) means[classes[i]! * width + j]! += row[j]!;
  });
  for (let at = 0; at < means.length; at++) means[at]! /= counts[Math.floor(at / width)]!;
  const spread = rows.map((row, i) => Float64Array.from(row, (value, j) => value - means[classes[i]! * width + j]!));
  const basis = await widestDirections(spread, width, turns);
  const within = covarianceOf(spread.map((row) => Float64Array.from(basis, (axis) => dot(axis, row))));
  const variance = spread.reduce((sum, row) => sum + dot(row, row), 0) / rows.length;
  const kept = within.reduce((sum, row, i) => sum + row[i]!, 0);
  const alike = SHRINKAGE * (variance / width) || 1;
  const others = basis.length < width ? Math.max(0, variance - kept) / (width - basis.length) : 0;
  const rest = 1 / ((1 - SHRINKAGE) * others + alike);
  const inverse = inverted(
    within.map((row, i) => row.map((value, j) => (1 - SHRINKAGE) * value + (i === j ? alike : 0))),
  );
  const taken = choleskyOf(inverse.map((row, i) => row.map((value, j) => (i === j ? rest : 0) - value)));
  const axes = basis.map((_, k) => {
    const axis = new Float64Array(width);
    basis.forEach((direction, i) => {
      for (let j = 0; j < width; j++) axis[j]! += taken[i]![k]! * direction[j]!;
    });
    return axis;
  });
  return { width, means: Float32Array.from(means), axes: Float32Array.from(axes.flatMap((axis) => [...axis])), rest };
}

/** Squared Mahalanobis distance to the nearest class (Lee et al. 2018, arXiv 1807.03888). @param row `[width]` */
export function distanceToNearest({ width, means, axes, rest }: KnownFeatures, row: Float32Array): number {
  let nearest = Number.POSITIVE_INFINITY;
  const away = new Float64Array(width);
  for (let start = 0; start < means.length; start += width) {
    for (let j = 0; j < width; j++) away[j] = row[j]! - means[start + j]!;
    let distance = rest * dot(away, away);
    for (let axis = 0; axis < axes.length; axis += width) {
      let length = 0;
      for (let j = 0; j < width; j++) length += axes[axis + j]! * away[j]!;
      distance -= length * length;
    }
    nearest = Math.min(nearest, distance);
  }
  return nearest;
}

/** Orthonormal basis of the directions in which rows spread most; smaller if the rows span fewer directions. */
async function widestDirections(rows: Matrix, width: number, turns: Turns): Promise<Matrix> {
  const rank = Math.min(RANK, Math.floor(width / 2));
  const every = rows.length / Math.max(1, rank);
  let basis = orthonormal(Array.from({ length: rank }, (_, i) => rows[Math.floor(i * every)]!));
  for (let i = 0; i < ITERATIONS; i++) {
    const next = basis.map(() => new Float64Array(width));
    await turns.each(rows.length, rank * width, (place) => {
      const row = rows[place]!;
      basis.forEach((axis, k) => {
        const length = dot(axis, row);
        for (let j = 0; j < width; j++) next[k]![j]! += length * row[j]!;
      });
    });
    basis = orthonormal(next);
  }
  return basis;
}

/** Gram-Schmidt, done twice to limit rounding errors. A vector in the span of the earlier ones is left out. */
function orthonormal(vectors: Matrix): Matrix {
  const basis: Matrix = [];
  for (const given of vectors) {
    const vector = given.slice();
    const size = Math.sqrt(dot(vector, vector));
    for (const axis of [...basis, ...basis]) {
      const length = dot(axis, vector);
      for (let j = 0; j < vector.length; j++) vector[j]! -= length * axis[j]!;
    }
    const left = Math.sqrt(dot(vector, vector));
    if (left > 1e-6 * size) basis.push(vector.map((value) => value / left));
  }
  return basis;
}

/** Covariance of rows whose mean is 0. */
function covarianceOf(rows: Matrix): Matrix {
  const size = rows[0]!.length;
  return Array.from({ length: size }, (_, i) =>
    Float64Array.from({ length: size }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0) / rows.length),
  );
}

/** Inverse of a symmetric positive definite matrix, by Gauss-Jordan elimination. */
function inverted(matrix: Matrix): Matrix {
  const size = matrix.length;
  const rows = matrix.map((row, i) =>
    Float64Array.from({ length: 2 * size }, (_, j) => (j < size ? row[j]! : +(j - size === i))),
  );
  rows.forEach((pivotRow, pivot) => {
    const factor = pivotRow[pivot]!;
    for (let j = 0; j < 2 * size; j++) pivotRow[j]! /= factor;
    rows.forEach((row, i) => {
      const times = row[pivot]!;
      if (i !== pivot && times !== 0) for (let j = 0; j < 2 * size; j++) row[j]! -= times * pivotRow[j]!;
    });
  });
  return rows.map((row) => row.slice(size));
}

/** Cholesky factor of a positive semidefinite matrix: a lower triangle whose product with its transpose is the matrix. */
function choleskyOf(matrix: Matrix): Matrix {
  const lower = matrix.map((row) => new Float64Array(row.length));
  matrix.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      let value = row[j]!;
      for (let k = 0; k < j; k++) value -= lower[i]![k]! * lower[j]![k]!;
      // Only rounding makes the remainder of a direction negative.
      const pivot = lower[j]![j]!;
      lower[i]![j] = i === j ? Math.sqrt(Math.max(0, value)) : pivot > 0 ? value / pivot : 0;
    }
  });
  return lower;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j]! * b[j]!;
  return sum;
}
