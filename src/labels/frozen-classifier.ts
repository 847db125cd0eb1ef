import type { Runtime } from "../runtime/session.ts";
import { softmax } from "../tasks/probabilities.ts";
import { dot } from "../tasks/vectors.ts";
import type { CrossValidated } from "../training/linear-head/cross-validation.ts";
import { classTargets, type FeatureRows } from "../training/linear-head/feature-rows.ts";
import { choosePenalty, fitLinear } from "../training/linear-head/linear-head.ts";
import { LinearSolver } from "../training/linear-head/linear-solver.ts";

export type VectorClassifier = (vector: Float32Array) => Float32Array;

export function classRows(vectors: readonly Float32Array[], classes: readonly number[], outputs: number): FeatureRows {
  const width = vectors[0]!.length;
  const features = new Float32Array(vectors.length * width);
  vectors.forEach((vector, row) => {
    features.set(vector, row * width);
  });
  const targets = classTargets(classes);
  return { rows: vectors.length, width, outputs, features, targets, weights: new Float32Array(vectors.length).fill(1) };
}

/**
 * Fits a linear head to frozen vectors, with penalty and temperature by cross-validation.
 * @param outputs number of classes
 * @param onFit receives the numbers of fits done and of all
 */
export function fitClassifier(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
  runtime: Runtime,
  onFit?: (done: number, of: number) => void,
): Promise<VectorClassifier> {
  return LinearSolver.with(runtime, { loss: "softmax", outputs }, async (solver) => {
    const choice = await choosePenalty(solver, classRows(vectors, classes, outputs), { strata: classes }, { onFit });
    return linearClassifier(solver, vectors, classes, outputs, choice);
  });
}

export async function linearClassifier(
  solver: LinearSolver,
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
  choice: Pick<CrossValidated, "penalty" | "factor">,
): Promise<VectorClassifier> {
  const rows = classRows(vectors, classes, outputs);
  const { weight, bias } = await fitLinear(solver, rows, choice, { strata: classes });
  const weights = Array.from({ length: outputs }, (_, k) =>
    Float32Array.from(weight.subarray(k * rows.width, (k + 1) * rows.width)),
  );
  return (vector) => softmax(Float32Array.from(weights, (own, k) => dot(own, vector) + bias[k]!));
}
