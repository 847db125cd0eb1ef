import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { LINEAR_LOSSES } from "./linear-losses.ts";

/** Rows to fit a linear function to; the last column is 1 throughout, and its coefficient, the bias, goes unpenalised. */
export interface DesignRows {
  rows: number;
  /** Of the columns, the last one among them. */
  width: number;
  outputs: number;
  /** `[rows, width]` */
  values: Float64Array;
  /** `[rows, outputs]` */
  targets: Float64Array;
  /** `[rows]`: what each row's loss counts for. */
  weights: Float64Array;
}

export interface FitOptions {
  loss: LinearLoss;
  /** λ of `Σ weightᵢ lossᵢ + λ/2 ‖coefficients‖²`: scikit-learn's 1/C, and Ridge's alpha. */
  penalty: number;
  /** Size of the gradient, as a share of the rows' weights, at which the fit has converged. */
  tolerance: number;
  /** Numbers of the rows that count, ascending; all where absent. */
  subset?: Int32Array | undefined;
}

const MOST_ITERATIONS = 100;

/**
 * Minimises a convex loss by Newton's method: each direction by conjugate gradients (Nash 2000, "A survey of truncated-Newton
 * methods"), preconditioned by the Hessian's diagonal, each step by halving until the loss falls enough (Armijo).
 * @param start `[outputs, width]`
 * @returns the coefficients, `[outputs, width]`
 */
export function minimise(design: DesignRows, options: FitOptions, start: Float64Array): Float64Array {
  const problem = new LinearProblem(design, options);
  let x = start;
  let value = problem.moveTo(x);
  for (let i = 0; i < MOST_ITERATIONS; i++) {
    const gradient = problem.gradient(x);
    const size = Math.sqrt(dot(gradient, gradient));
    if (size <= options.tolerance * problem.total) break;
    const direction = problem.direction(gradient, Math.min(0.1, Math.sqrt(size / problem.total)));
    const slope = dot(gradient, direction);
    const step = problem.lineSearch(x, direction, value, slope);
    // Where rounding hides what is left to gain, the fit is as near as numbers allow.
    if (!step) break;
    ({ x, value } = step);
  }
  return options.loss === "softmax" ? withCentredBiases(x, design) : x;
}

/** A softmax is the same whatever is added to all of its inputs: of the biases that fit, those whose sum is 0. */
function withCentredBiases(x: Float64Array, { width, outputs }: DesignRows): Float64Array {
  const isBias = (j: number): boolean => (j + 1) % width === 0;
  const mean = x.reduce((sum, each, j) => (isBias(j) ? sum + each / outputs : sum), 0);
  return x.map((each, j) => (isBias(j) ? each - mean : each));
}

/** The loss of a linear function over some rows, and its derivatives, at one point. */
class LinearProblem {
  /** Of the weights of the rows that count. */
  readonly total: number;
  readonly #design: DesignRows;
  readonly #loss: (typeof LINEAR_LOSSES)[LinearLoss];
  /** `[outputs, width]`: λ of each coefficient, 0 of the biases. */
  readonly #penalties: Float64Array;
  readonly #subset: Int32Array;
  /** Outputs of each row that counts, `[subset, outputs]`, and what is made of them. */
  readonly #logits: Float64Array;
  readonly #expected: Float64Array;
  readonly #residuals: Float64Array;
  readonly #moved: Float64Array;

  constructor(design: DesignRows, { loss, penalty, subset }: FitOptions) {
    this.#design = design;
    this.#loss = LINEAR_LOSSES[loss];
    const { width, outputs } = design;
    this.#penalties = Float64Array.from({ length: outputs * width }, (_, j) => ((j + 1) % width === 0 ? 0 : penalty));
    this.#subset = subset ?? Int32Array.from({ length: design.rows }, (_, row) => row);
    const size = this.#subset.length * design.outputs;
    [this.#logits, this.#residuals] = [new Float64Array(size), new Float64Array(size)];
    [this.#expected, this.#moved] = [new Float64Array(size), new Float64Array(size)];
    this.total = this.#subset.reduce((sum, row) => sum + design.weights[row]!, 0);
  }

  /** Takes a point. @returns the loss there */
  moveTo(x: Float64Array): number {
    outputsOf(this.#design, this.#subset, x, this.#logits);
    return this.#rowLosses(this.#logits) + this.#penaltyOf(x);
  }

  /** The gradient at the point that was taken. */
  gradient(x: Float64Array): Float64Array {
    const { outputs, targets, weights } = this.#design;
    this.#subset.forEach((row, i) => {
      const at = i * outputs;
      this.#loss.expect(this.#logits, at, outputs, this.#expected);
      for (let k = 0; k < outputs; k++) {
        this.#residuals[at + k] = weights[row]! * (this.#expected[at + k]! - targets[row * outputs + k]!);
      }
    });
    const result = summed(this.#design, this.#subset, this.#residuals);
    this.#addPenalty(result, x);
    return result;
  }

  /** Newton's direction for a gradient: the Hessian's solution, up to `precision` of the gradient's size. */
  direction(gradient: Float64Array, precision: number): Float64Array {
    const diagonal = this.#diagonal();
    const result = new Float64Array(gradient.length);
    const residual = gradient.map((value) => -value);
    const enough = precision * Math.sqrt(dot(gradient, gradient));
    const conditioned = residual.map((value, j) => value / diagonal[j]!);
    const along = conditioned.slice();
    let size = dot(residual, conditioned);
    for (let i = 0; i < gradient.length && Math.sqrt(dot(residual, residual)) > enough; i++) {
      const product = this.#hessianProduct(along);
      const curvature = dot(along, product);
      if (!(curvature > 0)) break;
      const length = size / curvature;
      for (let j = 0; j < result.length; j++) {
        result[j]! += length * along[j]!;
        residual[j]! -= length * product[j]!;
        conditioned[j] = residual[j]! / diagonal[j]!;
      }
      const before = size;
      size = dot(residual, conditioned);
      for (let j = 0; j < along.length; j++) along[j] = conditioned[j]! + (size / before) * along[j]!;
    }
    return result;
  }

  /** The longest of 1, 1/2, 1/4 … by which the loss falls; the point is taken. Undefined where none is. */
  lineSearch(x: Float64Array, direction: Float64Array, value: number, slope: number) {
    outputsOf(this.#design, this.#subset, direction, this.#moved);
    const logits = new Float64Array(this.#logits.length);
    for (let length = 1; length > 1e-10; length /= 2) {
      for (let i = 0; i < logits.length; i++) logits[i] = this.#logits[i]! + length * this.#moved[i]!;
      const there = x.map((each, j) => each + length * direction[j]!);
      const found = this.#rowLosses(logits) + this.#penaltyOf(there);
      if (found <= value + 1e-4 * length * slope && found < value) {
        this.#logits.set(logits);
        return { x: there, value: found };
      }
    }
    return undefined;
  }

  #rowLosses(logits: Float64Array): number {
    const { outputs, targets, weights } = this.#design;
    let sum = 0;
    this.#subset.forEach((row, i) => {
      sum += weights[row]! * this.#loss.loss(logits, i * outputs, targets, row * outputs, outputs);
    });
    return sum;
  }

  #penaltyOf(x: Float64Array): number {
    return x.reduce((sum, each, j) => sum + 0.5 * this.#penalties[j]! * each * each, 0);
  }

  #addPenalty(to: Float64Array, x: Float64Array): void {
    for (let j = 0; j < to.length; j++) to[j]! += this.#penalties[j]! * x[j]!;
  }

  /** After {@link gradient}, whose probabilities it reads. */
  #hessianProduct(along: Float64Array): Float64Array {
    const { outputs, weights } = this.#design;
    const moved = this.#moved;
    outputsOf(this.#design, this.#subset, along, moved);
    this.#subset.forEach((row, i) => {
      const at = i * outputs;
      this.#loss.curve(this.#expected, moved, at, outputs);
      for (let k = at; k < at + outputs; k++) moved[k]! *= weights[row]!;
    });
    const result = summed(this.#design, this.#subset, moved);
    this.#addPenalty(result, along);
    return result;
  }

  #diagonal(): Float64Array {
    const { width, outputs, values, weights } = this.#design;
    const result = new Float64Array(width * outputs);
    this.#subset.forEach((row, i) => {
      const x = row * width;
      for (let k = 0; k < outputs; k++) {
        const factor = weights[row]! * this.#loss.curvature(this.#expected[i * outputs + k]!);
        for (let j = 0; j < width; j++) result[k * width + j]! += factor * values[x + j]! * values[x + j]!;
      }
    });
    const smallest = 1e-12 * this.total;
    return result.map((each, j) => Math.max(each + this.#penalties[j]!, smallest));
  }
}

/** What a linear function with coefficients `x [outputs, width]` gives for rows, into `into [subset, outputs]`. */
export function outputsOf(
  { width, outputs, values }: Pick<DesignRows, "width" | "outputs" | "values">,
  subset: Int32Array,
  x: Float64Array,
  into: Float64Array,
): void {
  for (let i = 0; i < subset.length; i++) {
    const row = subset[i]! * width;
    let k = 0;
    // Four at a time: sums that do not wait for each other.
    for (; k + 4 <= outputs; k += 4) {
      const [w0, w1, w2, w3] = [k * width, (k + 1) * width, (k + 2) * width, (k + 3) * width];
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let j = 0; j < width; j++) {
        const value = values[row + j]!;
        s0 += value * x[w0 + j]!;
        s1 += value * x[w1 + j]!;
        s2 += value * x[w2 + j]!;
        s3 += value * x[w3 + j]!;
      }
      const at = i * outputs + k;
      [into[at], into[at + 1], into[at + 2], into[at + 3]] = [s0, s1, s2, s3];
    }
    for (; k < outputs; k++) {
      const w = k * width;
      let [s0, s1] = [0, 0];
      let j = 0;
      for (; j + 2 <= width; j += 2) {
        s0 += values[row + j]! * x[w + j]!;
        s1 += values[row + j + 1]! * x[w + j + 1]!;
      }
      if (j < width) s0 += values[row + j]! * x[w + j]!;
      into[i * outputs + k] = s0 + s1;
    }
  }
}

/** Rows summed with factors `[subset, outputs]`: `[outputs, width]`. */
function summed({ width, outputs, values }: DesignRows, subset: Int32Array, factors: Float64Array): Float64Array {
  const result = new Float64Array(outputs * width);
  for (let i = 0; i < subset.length; i++) {
    const row = subset[i]! * width;
    for (let k = 0; k < outputs; k++) {
      const factor = factors[i * outputs + k]!;
      const to = k * width;
      for (let j = 0; j < width; j++) result[to + j]! += factor * values[row + j]!;
    }
  }
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j]! * b[j]!;
  return sum;
}
