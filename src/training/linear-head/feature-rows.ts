import type { Turns } from "../../runtime/turns.ts";

export interface FeatureRows {
  rows: number;
  width: number;
  outputs: number;
  /** `[rows, width]` */
  features: Float32Array;
  targets: SparseTargets;
  /** `[rows]`: factors of the rows' losses. */
  weights: Float32Array;
}

/** Targets that are not 0, row by row: of 10,000 classes, a row has one. */
export interface SparseTargets {
  /** `[rows + 1]`: index of each row's first entry, and the number of all entries. */
  starts: Int32Array;
  /** `[entries]`: the output that the target belongs to. */
  outputs: Int32Array;
  /** `[entries]` */
  values: Float32Array;
}

/** @param parts targets `[rows, outputs]`, in parts of whole rows */
export async function sparseTargets(
  parts: Iterable<ArrayLike<number>>,
  outputs: number,
  turns: Turns,
): Promise<SparseTargets> {
  const starts = [0];
  const [places, values]: [number[], number[]] = [[], []];
  for (const part of parts) {
    await turns.give();
    for (let i = 0; i < part.length; i++) {
      if (part[i] !== 0) {
        places.push(i % outputs);
        values.push(part[i]!);
      }
      if ((i + 1) % outputs === 0) starts.push(places.length);
    }
  }
  return { starts: Int32Array.from(starts), outputs: Int32Array.from(places), values: Float32Array.from(values) };
}

/** Targets of rows that belong to one class each. @param classes `[rows]`: numbers of the classes */
export const classTargets = (classes: ArrayLike<number>): SparseTargets => ({
  starts: Int32Array.from({ length: classes.length + 1 }, (_, row) => row),
  outputs: Int32Array.from(classes),
  values: new Float32Array(classes.length).fill(1),
});

/**
 * Numbers of the rows, sorted by features, then targets, then weights: sums and samples in this order do not depend on the order in
 * which rows are given.
 */
export function canonicalOrder(given: FeatureRows, turns: Turns): Promise<Int32Array> {
  const { rows, width, features, targets, weights } = given;
  return turns.sort(
    Int32Array.from({ length: rows }, (_, row) => row),
    (a, b) => {
      for (let j = 0; j < width; j++) {
        const apart = features[a * width + j]! - features[b * width + j]!;
        if (apart !== 0) return apart;
      }
      return compareTargets(targets, a, b) || weights[a]! - weights[b]!;
    },
  );
}

function compareTargets({ starts, outputs, values }: SparseTargets, a: number, b: number): number {
  const [own, other] = [starts[a]!, starts[b]!];
  const count = starts[a + 1]! - own;
  for (let i = 0; i < count && i < starts[b + 1]! - other; i++) {
    const apart = outputs[own + i]! - outputs[other + i]! || values[own + i]! - values[other + i]!;
    if (apart !== 0) return apart;
  }
  return count - (starts[b + 1]! - other);
}
