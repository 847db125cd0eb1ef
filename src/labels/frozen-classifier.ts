import { softmax } from "../tasks/probabilities.ts";
import { dot } from "../tasks/vectors.ts";
import type { CrossValidated } from "../training/linear-head/cross-validation.ts";
import type { FeatureRows } from "../training/linear-head/design.ts";
import { choosePenalty, fitLinear } from "../training/linear-head/linear-head.ts";

/** Returns the probabilities of the classes for a text's vector. */
export type VectorClassifier = (vector: Float32Array) => Float32Array;

/** Rows of vectors with their classes, in the form of the linear head. */
export function classRows(vectors: readonly Float32Array[], classes: readonly number[], outputs: number): FeatureRows {
  const width = vectors[0]!.length;
  const features = new Float32Array(vectors.length * width);
  const targets = new Float32Array(vectors.length * outputs);
  vectors.forEach((vector, row) => {
    features.set(vector, row * width);
    targets[row * outputs + classes[row]!] = 1;
  });
  return { rows: vectors.length, width, outputs, features, targets, weights: new Float32Array(vectors.length).fill(1) };
}

/** Fits a linear head to frozen vectors, with penalty and temperature by cross-validation. @param outputs number of classes */
export function fitClassifier(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
): VectorClassifier {
  const choice = choosePenalty(classRows(vectors, classes, outputs), "softmax", { strata: classes });
  return linearClassifier(vectors, classes, outputs, choice);
}

/** Fits a linear head to frozen vectors, with a given penalty and output factor. */
export function linearClassifier(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  outputs: number,
  choice: Pick<CrossValidated, "penalty" | "factor">,
): VectorClassifier {
  const rows = classRows(vectors, classes, outputs);
  const { weight, bias } = fitLinear(rows, "softmax", choice, { strata: classes });
  const weights = Array.from({ length: outputs }, (_, k) =>
    Float32Array.from(weight.subarray(k * rows.width, (k + 1) * rows.width)),
  );
  return (vector) => softmax(Float32Array.from(weights, (own, k) => dot(own, vector) + bias[k]!));
}
