import { expect, test } from "vitest";
import { curvature, rowLoss, rowSlope, type ScoredRows } from "../../../src/training/linear-head/linear-losses.ts";

const ROWS: ScoredRows = {
  outputs: 3,
  logits: Float64Array.of(0.4, -1.2, 2.1, -0.3, 0.9, 0.2, 1.7, -0.6, 0.1),
  targets: Float64Array.of(0, 0, 1, 0, 1, 0, 1, 0, 0),
  weights: Float64Array.of(1, 1, 1),
};
const STEP = 1e-4;

test.each(["softmax", "sigmoid", "squared"] as const)("slope and curvature of %s are those of its loss", (own) => {
  const moved = (place: number, by: number): ScoredRows => ({
    ...ROWS,
    logits: ROWS.logits.map((logit, k) => (k === place ? logit + by : logit)),
  });
  for (const row of [0, 1, 2]) {
    const loss = (factor: number, rows = ROWS): number => rowLoss(own, rows, row, factor);
    const slope = (loss(0.7 + STEP) - loss(0.7 - STEP)) / (2 * STEP);
    expect(rowSlope(own, ROWS, row, 0.7)).toBeCloseTo(slope, 6);
    const curvatures = [0, 1, 2].map(
      (k) => (loss(1, moved(3 * row + k, STEP)) + loss(1, moved(3 * row + k, -STEP)) - 2 * loss(1)) / STEP ** 2,
    );
    const mean = curvatures.reduce((sum, each) => sum + each / 3, 0);
    expect(curvature(own, ROWS.logits.slice(3 * row, 3 * row + 3))).toBeCloseTo(mean, 6);
  }
});
