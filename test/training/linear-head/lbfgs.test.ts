import { expect, test } from "vitest";
import { dot } from "../../../src/training/dense.ts";
import { minimise } from "../../../src/training/linear-head/lbfgs.ts";

/** Minimises `½ Σ curvatureⱼ (xⱼ - 1)² + least` from 0, with one number as the approximate inverse of the Hessian. */
function minimised(curvatures: readonly number[], inverse: number, memory: number, least = 0) {
  const search = minimise(new Float64Array(curvatures.length), { tolerance: 1e-9, memory });
  let evaluations = 0;
  let { value: at, done } = search.next();
  while (!done) {
    evaluations++;
    const off = at.map((x) => x - 1);
    const gradient = off.map((each, j) => curvatures[j]! * each);
    const conditioned = gradient.map((slope) => inverse * slope);
    ({ value: at, done } = search.next({ value: 0.5 * dot(off, gradient) + least, gradient, conditioned }));
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

test("where rounding hides the values, a step is taken if its end is less steep than its start", () => {
  // The start, an end that is half as steep beyond the minimum, and the minimum.
  expect(minimised([100], 1.5 / 100, 5, 1e20).evaluations).toBe(3);
  // The whole step ends twice as steep, and half of it at the minimum.
  expect(minimised([100], 3 / 100, 5, 1e20).evaluations).toBe(4);
  expect(minimised([1e-4], 3e4, 5, 1e20).evaluations).toBe(4);
});

test("a function that is straight for hundreds of steps is followed to its minimum", () => {
  // |x - 400|, rounded within 1 of its minimum. The gradient's differences are 0 until then, from which nothing can be learned.
  const search = minimise(Float64Array.of(0), { tolerance: 1e-9, memory: 5 });
  let { value: at, done } = search.next();
  while (!done) {
    const off = at[0]! - 400;
    const gradient = Float64Array.of(Math.max(-1, Math.min(1, off)));
    const value = Math.abs(off) > 1 ? Math.abs(off) - 0.5 : off ** 2 / 2;
    ({ value: at, done } = search.next({ value, gradient, conditioned: gradient }));
  }
  expect(at[0]).toBeCloseTo(400, 9);
});
