import { expect, test } from "vitest";
import { dot, minimise } from "../../../src/training/linear-head/lbfgs.ts";

/** Minimises `½ Σ curvatureⱼ (xⱼ - 1)²` from 0, with one number as the approximate inverse of the Hessian. */
function minimised(curvatures: readonly number[], inverse: number, memory: number) {
  const search = minimise(new Float64Array(curvatures.length), { tolerance: 1e-9, memory });
  let evaluations = 0;
  let { value: at, done } = search.next();
  while (!done) {
    evaluations++;
    const off = at.map((x) => x - 1);
    const gradient = off.map((each, j) => curvatures[j]! * each);
    const conditioned = gradient.map((slope) => inverse * slope);
    ({ value: at, done } = search.next({ value: 0.5 * dot(off, gradient), gradient, conditioned }));
  }
  return { at, evaluations };
}

test("a search with more remembered steps needs fewer evaluations", () => {
  const curvatures = Array.from({ length: 6 }, (_, j) => 4 ** j);
  const [one, six] = [1, 6].map((memory) => minimised(curvatures, 1, memory));
  for (const { at } of [one!, six!]) for (const x of at) expect(x).toBeCloseTo(1, 6);
  expect(six!.evaluations).toBeLessThan(one!.evaluations / 3);
});

test("a direction that is a thousand times too long is cut tenfold three times, to the minimum of the parabola", () => {
  const { at, evaluations } = minimised([2], 500, 5);
  expect(at[0]).toBeCloseTo(1, 9);
  // The start, the whole direction, and three cuts.
  expect(evaluations).toBe(5);
});
