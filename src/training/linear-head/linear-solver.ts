import { float64 } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import type { Design } from "./design.ts";
import { dot, type Evaluated, minimise } from "./lbfgs.ts";
import { LINEAR_LOSSES } from "./linear-losses.ts";
import { lossGraph } from "./loss-graph.ts";
import { positiveInverse } from "./positive-inverse.ts";
import { type Matrix, Products } from "./products.ts";

/** A fit of some rows of a design: it minimises `Σ weightᵢ lossᵢ + penalty/2 ‖coefficients‖²` (scikit-learn's 1/C and Ridge's alpha). */
export interface Fit {
  /** `[rows]`: factors of the rows' losses; rows of weight 0 are left out. */
  weights: Float64Array;
  penalty: number;
  /** `[outputs, width]` */
  start: Float64Array;
}

export interface SolveOptions {
  /** Size of the gradient, as a share of the rows' weights, at which a fit has converged. */
  tolerance: number;
  /** Called when a fit has converged. */
  onFit?: (() => void) | undefined;
  /** Called after each pass over the rows, with their number. */
  onPass?: ((passes: number) => void | Promise<void>) | undefined;
}

/** Maximum number of coefficients of all fits that are computed side by side. */
const SIDE_BY_SIDE = 2 ** 21;
/** Limit on the numbers in the steps that these fits remember, and the limits on the steps of a fit. */
const REMEMBERED = 2 ** 24;
const [FEWEST_STEPS, MOST_STEPS] = [2, 5];
/**
 * Limits on outputs and products of one run of a graph, over a block of rows: about 20 ms, and 8 MB per intermediate value. With thousands
 * of outputs, a block has as many rows as columns: with fewer, reading the coefficients takes as long as the products.
 */
const BLOCK_OUTPUTS = 2 ** 20;
const BLOCK_PRODUCTS = 2 ** 29;
/** Maximum number of products for the features' sum of squares. With more rows, some of them give an estimate. */
const GRAM_PRODUCTS = 2 ** 34;
/** Rows from which the mean curvature of the loss is estimated. */
const CURVED_ROWS = 500;
/** Lower bound of the mean curvature: that of probabilities of 0.9999. */
const LEAST_CURVATURE = 1e-4;

/** Fits linear functions to rows by one loss, with ONNX Runtime's products in float64, on the CPU. */
export class LinearSolver {
  readonly products: Products;
  readonly #loss: CompiledGraph;
  readonly #logits: CompiledGraph;
  readonly #grams = new WeakMap<Design, Promise<Matrix>>();
  /** Sums of targets by the weights of their rows: fits of several penalties share them. */
  readonly #targets = new WeakMap<Float64Array, Promise<Float64Array>>();

  private constructor(
    readonly loss: LinearLoss,
    private readonly outputs: number,
    compiled: { loss: CompiledGraph; logits: CompiledGraph; products: Products },
    readonly turns: Turns,
  ) {
    this.#loss = compiled.loss;
    this.#logits = compiled.logits;
    this.products = compiled.products;
  }

  /** Compiles a solver for `use`, and frees it afterwards. */
  static async with<T>(
    runtime: Runtime,
    { loss, outputs, signal }: { loss: LinearLoss; outputs: number; signal?: AbortSignal | undefined },
    use: (solver: LinearSolver) => Promise<T>,
  ): Promise<T> {
    const own = await runtime.onCpu();
    const { logits, ...others } = lossGraph(loss, outputs);
    const compiled = {
      loss: await own.compile(others, new Map()),
      logits: await own.compile({ logits }, new Map()),
      products: new Products(own),
    };
    try {
      return await use(new LinearSolver(loss, outputs, compiled, new Turns(signal)));
    } finally {
      for (const each of Object.values(compiled)) await each.release();
    }
  }

  /**
   * Computes fits of similar penalties side by side: each pass over the rows serves all fits that have not converged.
   * @returns the coefficients of each, `[outputs, width]`
   */
  async fit(design: Design, fits: readonly Fit[], options: SolveOptions): Promise<Float64Array[]> {
    const size = this.outputs * design.width;
    const together = Math.max(1, Math.min(fits.length, Math.floor(SIDE_BY_SIDE / size)));
    const memory = Math.floor(REMEMBERED / (3 * together * size));
    const found: Float64Array[] = [];
    for (let i = 0; i < fits.length; i += together) {
      const group = fits.slice(i, i + together);
      const problem = await SideBySide.of(this, design, group);
      found.push(...(await problem.solve(Math.min(MOST_STEPS, Math.max(FEWEST_STEPS, memory)), options)));
    }
    return this.loss === "softmax" ? found.map((each) => withCentredBiases(each, design)) : found;
  }

  /** Outputs of a linear function for the first rows of a design, `[rows, outputs]`. @param coefficients `[outputs, width]` */
  async logits(design: Design, coefficients: Float64Array, rows = design.rows): Promise<Float64Array> {
    const result = new Float64Array(rows * this.outputs);
    const stack = float64([1, this.outputs, design.width], coefficients);
    for (const [from, to] of blocksOf(rows, this.outputs, design.width)) {
      const into = float64([to - from, this.outputs], result.subarray(from * this.outputs, to * this.outputs));
      const inputs = { x: design.block(from, to), coefficients: stack };
      await this.#logits.run(inputs, undefined, new Map([["logits", into]]));
      await this.turns.give();
    }
    return result;
  }

  /**
   * The normalisers' sums of several linear functions, and their gradients.
   * @param coefficients `[fits, outputs, width]` @param weights `[rows, fits]`
   */
  async normalisers(
    design: Design,
    coefficients: Matrix,
    weights: Float64Array,
  ): Promise<{ values: Float64Array; gradient: Matrix }> {
    const [fits, outputs, width] = coefficients.shape as [number, number, number];
    const values = new Float64Array(fits);
    const gradient = float64([fits * outputs, width]);
    const blocks = blocksOf(design.rows, fits * outputs, width);
    const into = blocks.length > 1 ? float64(gradient.shape) : gradient;
    for (const [from, to] of blocks) {
      const own = float64([to - from, fits], weights.subarray(from * fits, to * fits));
      const inputs = { x: design.block(from, to), coefficients, weights: own };
      const { value } = await this.#loss.run(inputs, undefined, new Map([["gradient", into]]));
      for (let i = 0; i < fits; i++) values[i]! += Number(value!.data[i]);
      if (into !== gradient) for (let j = 0; j < into.data.length; j++) gradient.data[j]! += into.data[j]!;
      await this.turns.give();
    }
    return { values, gradient };
  }

  /** `Σ weightᵢ targetsᵢ xᵢᵀ`, `[outputs, width]` @param weights `[rows]` of one design */
  targetsOf(design: Design, weights: Float64Array): Promise<Float64Array> {
    const known = this.#targets.get(weights) ?? sumOfTargets(design, weights, this.turns);
    this.#targets.set(weights, known);
    return known;
  }

  /** `Xᵀ diag(weights) X`, estimated from some of the rows if there are many. */
  gram(design: Design): Promise<Matrix> {
    const known = this.#grams.get(design) ?? this.#gramOf(design);
    this.#grams.set(design, known);
    return known;
  }

  async #gramOf(design: Design): Promise<Matrix> {
    const { rows, width, weights } = design;
    const gram = float64([width, width]);
    const blocks = blocksOf(rows, width, width);
    const each = Math.ceil((rows * width * width) / GRAM_PRODUCTS);
    const taken = blocks.filter((_, i) => i % each === 0);
    for (const [from, to] of taken) {
      const part = await this.products.gram(
        design.block(from, to),
        float64([to - from, 1], weights.subarray(from, to)),
      );
      part.data.forEach((product, at) => {
        gram.data[at]! += product;
      });
      await this.turns.give();
    }
    const counted = taken.reduce((sum, [from, to]) => sum + to - from, 0);
    return float64(
      gram.shape,
      gram.data.map((value) => (value * rows) / counted),
    );
  }

  /**
   * Approximates the inverse of the Hessian for each output, `[width, width]`: the inverse of the mean curvature times the features' sum
   * of squares, plus the penalty.
   */
  async conditioner(design: Design, fits: readonly Fit[]): Promise<Matrix> {
    const { rows, width } = design;
    const outputs = this.outputs;
    const seen = Math.min(rows, CURVED_ROWS, Math.ceil(BLOCK_OUTPUTS / outputs));
    const [{ start, penalty }] = fits as readonly [Fit];
    const logits = await this.logits(design, start, seen);
    let curvature = 0;
    for (let row = 0; row < seen; row++) {
      curvature += LINEAR_LOSSES[this.loss].curvature({ logits, outputs }, row) / seen;
    }
    const share = fits.reduce((total, { weights }) => total + sum(weights), 0) / (fits.length * sum(design.weights));
    const gram = await this.gram(design);
    const factor = share * Math.max(LEAST_CURVATURE, curvature);
    const matrix = float64(
      gram.shape,
      gram.data.map((value) => factor * value),
    );
    for (let j = 0; j < width - 1; j++) matrix.data[j * width + j]! += penalty;
    return positiveInverse(matrix, this.products);
  }
}

/** Fits that share each pass over the rows. */
class SideBySide {
  readonly #conditioner: Matrix;
  /** For each fit `Σ weightᵢ targetsᵢ xᵢᵀ`, `[outputs, width]`: the loss depends on the targets through this sum alone. */
  readonly #targets: readonly Float64Array[];

  private constructor(
    private readonly solver: LinearSolver,
    private readonly design: Design,
    private readonly fits: readonly Fit[],
    { conditioner, targets }: { conditioner: Matrix; targets: readonly Float64Array[] },
  ) {
    this.#conditioner = conditioner;
    this.#targets = targets;
  }

  static async of(solver: LinearSolver, design: Design, fits: readonly Fit[]): Promise<SideBySide> {
    const conditioner = await solver.conditioner(design, fits);
    const targets: Float64Array[] = [];
    for (const { weights } of fits) targets.push(await solver.targetsOf(design, weights));
    return new SideBySide(solver, design, fits, { conditioner, targets });
  }

  async solve(memory: number, { tolerance, onFit, onPass }: SolveOptions): Promise<Float64Array[]> {
    const searches = this.fits.map(({ start, weights }) =>
      minimise(start, { tolerance: tolerance * sum(weights), memory }),
    );
    const points = new Map(searches.map((search, i) => [i, search.next().value]));
    const found: Float64Array[] = [];
    for (let pass = 1; points.size > 0; pass++) {
      const evaluated = await this.#evaluate(points);
      for (const [i, each] of evaluated) {
        const { value, done } = searches[i]!.next(each);
        await this.solver.turns.give();
        if (!done) points.set(i, value);
        else {
          found[i] = value;
          points.delete(i);
          onFit?.();
        }
      }
      await onPass?.(pass);
    }
    return found;
  }

  /** The penalised losses at one point of each of some fits, by number. */
  async #evaluate(points: ReadonlyMap<number, Float64Array>): Promise<Map<number, Evaluated>> {
    const { outputs, width, rows } = this.design;
    const chosen = [...points.keys()];
    const size = outputs * width;
    const stack = float64([chosen.length, outputs, width]);
    const weights = new Float64Array(rows * chosen.length);
    chosen.forEach((i, place) => {
      stack.data.set(points.get(i)!, place * size);
      const own = this.fits[i]!.weights;
      for (let row = 0; row < rows; row++) weights[row * chosen.length + place] = own[row]!;
    });
    const { values, gradient } = await this.solver.normalisers(this.design, stack, weights);
    const all = chosen.map((i, place) => {
      const own = gradient.data.subarray(place * size, (place + 1) * size);
      return [i, this.#penalised(i, points.get(i)!, values[place]!, own)] as const;
    });
    const { data } = await this.solver.products.product(gradient, this.#conditioner);
    return new Map(
      all.map(([i, value], place) => {
        const range = [place * size, (place + 1) * size] as const;
        return [i, { value, gradient: gradient.data.subarray(...range), conditioned: data.subarray(...range) }];
      }),
    );
  }

  /** Turns the gradient of a fit's normalisers into that of its penalised loss, in place. */
  #penalised(i: number, at: Float64Array, normaliser: number, gradient: Float64Array): number {
    const { penalty } = this.fits[i]!;
    const { width } = this.design;
    const targets = this.#targets[i]!;
    let squares = 0;
    for (let start = 0; start < at.length; start += width) {
      const bias = start + width - 1;
      for (let j = start; j < bias; j++) {
        squares += at[j]! * at[j]!;
        gradient[j]! += penalty * at[j]! - targets[j]!;
      }
      gradient[bias]! -= targets[bias]!;
    }
    return normaliser - dot(at, targets) + 0.5 * penalty * squares;
  }
}

async function sumOfTargets(design: Design, weights: Float64Array, turns: Turns): Promise<Float64Array> {
  const { width, outputs, rows, values } = design;
  const result = new Float64Array(outputs * width);
  await turns.each(rows, width, (place) => {
    const weight = weights[place]!;
    if (weight === 0) return;
    design.forTargets(place, (output, value) => {
      for (let j = 0; j < width; j++) result[output * width + j]! += weight * value * values[place * width + j]!;
    });
  });
  return result;
}

/** Ranges of rows for single runs of a graph. */
function blocksOf(rows: number, outputs: number, width: number): (readonly [from: number, to: number])[] {
  const most = Math.min(BLOCK_OUTPUTS / outputs, BLOCK_PRODUCTS / (outputs * width));
  const size = Math.max(width, Math.floor(most));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => [i * size, Math.min(rows, (i + 1) * size)]);
}

/** Shifts the biases of a softmax, in place, so that their sum is 0. The softmax stays the same. */
function withCentredBiases(x: Float64Array, { width, outputs }: Design): Float64Array {
  let mean = 0;
  for (let bias = width - 1; bias < x.length; bias += width) mean += x[bias]! / outputs;
  for (let bias = width - 1; bias < x.length; bias += width) x[bias]! -= mean;
  return x;
}

const sum = (values: Float64Array): number => values.reduce((total, each) => total + each, 0);
