import { Turns } from "../../runtime/turns.ts";
import { dot, eliminated, pivotedCholesky } from "../dense.ts";

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
  const rank = basis.length;
  const at = (i: number, j: number): number => (1 - SHRINKAGE) * within[i]![j]! + (i === j ? alike : 0);
  const inverse = eliminated(
    Float64Array.from({ length: rank * rank }, (_, place) => at(Math.floor(place / rank), place % rank)),
    rank,
  );
  const taken = inverse.map((value, place) => (place % (rank + 1) === 0 ? rest : 0) - value);
  const { columns } = await pivotedCholesky(taken, rank, turns);
  const axes = columns.map((column) => {
    const axis = new Float64Array(width);
    basis.forEach((direction, i) => {
      for (let j = 0; j < width; j++) axis[j]! += column[i]! * direction[j]!;
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

function covarianceOf(rows: Matrix): Matrix {
  const size = rows[0]!.length;
  return Array.from({ length: size }, (_, i) =>
    Float64Array.from({ length: size }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0) / rows.length),
  );
}
