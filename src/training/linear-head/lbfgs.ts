import { dot } from "../dense.ts";

export interface Evaluated {
  value: number;
  gradient: Float64Array;
  /** The gradient times an approximation of the Hessian's inverse. */
  conditioned: Float64Array;
}

interface Step {
  moved: Float64Array;
  gradient: Float64Array;
  conditioned: Float64Array;
  product: number;
}

const MOST_STEPS = 500;
const MOST_HALVINGS = 40;
/** Smallest accepted share of the decrease that the slope predicts (Armijo). */
const DECREASE = 1e-4;
const ROUNDING = 1e-11;

/**
 * Minimises a smooth convex function by L-BFGS (Nocedal and Wright, "Numerical Optimization", algorithm 7.5) with a given approximation of
 * the Hessian's inverse. Yields points and receives the function at each.
 */
export function* minimise(
  start: Float64Array,
  { tolerance, memory }: { tolerance: number; memory: number },
): Generator<Float64Array, Float64Array, Evaluated> {
  let at = start;
  let here = yield at;
  const steps: Step[] = [];
  for (let i = 0; i < MOST_STEPS && Math.sqrt(dot(here.gradient, here.gradient)) > tolerance; i++) {
    const direction = directionFrom(here, steps);
    const next = yield* searchLine(at, here, direction);
    if (next) {
      const { point, found } = next;
      const moved = difference(point, at);
      const gradient = difference(found.gradient, here.gradient);
      const product = dot(moved, gradient);
      if (steps.length === memory) steps.shift();
      if (product > 0) {
        steps.push({ moved, gradient, conditioned: difference(found.conditioned, here.conditioned), product });
      }
      [at, here] = [point, found];
      // Without remembered steps there is no other direction: rounding hides the rest of the decrease.
    } else if (steps.length === 0) break;
    else steps.length = 0;
  }
  return at;
}

function directionFrom({ gradient, conditioned }: Evaluated, steps: readonly Step[]): Float64Array {
  const rest = gradient.slice();
  const direction = conditioned.slice();
  const shares: number[] = [];
  for (const step of steps.toReversed()) {
    const share = dot(step.moved, rest) / step.product;
    shares.unshift(share);
    add(rest, step.gradient, -share);
    // The approximation is linear: no product with it is needed here.
    add(direction, step.conditioned, -share);
  }
  const last = steps.at(-1);
  const scale = last ? last.product / dot(last.gradient, last.conditioned) : 1;
  for (let j = 0; j < direction.length; j++) direction[j]! *= scale;
  steps.forEach((step, i) => {
    add(direction, step.moved, shares[i]! - dot(step.gradient, direction) / step.product);
  });
  for (let j = 0; j < direction.length; j++) direction[j] = -direction[j]!;
  return direction;
}

/**
 * Searches along a direction for a point at which the function has decreased enough. If rounding hides the difference of the values,
 * the slope decides (Hager and Zhang 2005, SIAM J. Optim. 16, eq. 4.3).
 */
function* searchLine(
  from: Float64Array,
  { value, gradient }: Evaluated,
  direction: Float64Array,
): Generator<Float64Array, { point: Float64Array; found: Evaluated } | undefined, Evaluated> {
  const slope = dot(gradient, direction);
  if (!(slope < 0)) return undefined;
  let length = 1;
  for (let i = 0; i < MOST_HALVINGS; i++) {
    const point = from.slice();
    add(point, direction, length);
    const found = yield point;
    const change = found.value - value;
    if (change <= DECREASE * length * slope) return { point, found };
    const isRounding = Math.abs(change) <= ROUNDING * Math.abs(value);
    if (isRounding && dot(found.gradient, direction) <= (2 * DECREASE - 1) * slope) return { point, found };
    // Minimum of the parabola through both values and the slope.
    const least = (-slope * length) / (2 * (change - slope * length));
    length *= Number.isFinite(least) ? Math.min(0.5, Math.max(0.1, least)) : 0.1;
  }
  return undefined;
}

function add(to: Float64Array, other: Float64Array, factor: number): void {
  for (let j = 0; j < to.length; j++) to[j]! += factor * other[j]!;
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  const result = new Float64Array(a.length);
  for (let j = 0; j < a.length; j++) result[j] = a[j]! - b[j]!;
  return result;
}
