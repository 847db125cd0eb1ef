import { readFileSync } from "node:fs";
import { classTargets, type FeatureRows } from "../src/training/linear-head/feature-rows.ts";

/** A task of bench/linear-head.ts, as its contestants read it. */
export interface HeadSet {
  width: number;
  outputs: number;
  penalties: number[];
  /** File of float32 vectors, `[rows, width]`. */
  features: string;
  classes: number[];
  /** Number of the fold that each row is held out in. */
  folds: number[];
  /** Rows that show how good a head is. */
  others: string;
  otherClasses: number[];
}

/** Rows of a file of vectors. */
export function headRows({
  width,
  outputs,
  features,
  classes,
}: Pick<HeadSet, "width" | "outputs" | "features"> & { classes: readonly number[] }): FeatureRows {
  const { buffer, byteOffset } = readFileSync(features);
  const size = classes.length * width;
  return {
    rows: classes.length,
    width,
    outputs,
    features: new Float32Array(buffer.slice(byteOffset, byteOffset + 4 * size)),
    targets: classTargets(classes),
    weights: new Float32Array(classes.length).fill(1),
  };
}
