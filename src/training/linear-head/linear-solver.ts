import { float64 } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import { dot, type Matrix, Products, positiveInverse, sum } from "../dense.ts";
import type { Design } from "./design.ts";
import { type Evaluated, minimise } from "./lbfgs.ts";
import { curvature, lossGraph } from "./linear-losses.ts";

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
  onFit?: (() => void) | undefined;
  onPass?: ((passes: number) => void | Promise<void>) | undefined;
}

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
const GRAM_PRODUCTS = 2 ** 34;
const CURVED_ROWS = 500;
/** Lower bound of the mean curvature: that of probabilities of 0.9999. */
const LEAST_CURVATURE = 1e-4;

/** Fits linear functions to rows by one loss, with ONNX Runtime's products in float64, on the CPU. */
export class LinearSolver {
  /** By design: fits of several penalties share its features' sum of squares. */
  readonly #grams = new WeakMap<Design, Promise<Matrix>>();
  /** By the weights of the rows: the same fits share the sums of their targets. */
  readonly #targets = new WeakMap<Float64Array, Promise<Float64Array>>();

  private constructor(
    readonly loss: LinearLoss,
    private readonly outputs: number,
    private readonly compiled: Record<"loss" | "logits", CompiledGraph>,
    readonly products: Products,
    readonly turns: Turns,
  ) {}

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
    };
    const products = new Products(own);
    try {
      return await use(new LinearSolver(loss, outputs, compiled, products, new Turns(signal)));
    } finally {
      for (const each of [compiled.loss, compiled.logits, products]) await each.release();
    }
  }

  /**
   * Computes fits of similar penalties side by side: each pass over the rows serves all fits that have not converged.
   * @returns the coefficients of each, `[outputs, width]`
   */
  async fit(design: Design, fits: readonly Fit[], options: SolveOptions): Promise<Float64Array[]> {
    const size = this.outputs * design.width;
    const together = Math.max(1, Math.min(fits.length, Math.floor(SIDE_BY_SIDE / size)));
    const memory = Math.min(MOST_STEPS, Math.max(FEWEST_STEPS, Math.floor(REMEMBERED / (3 * together * size))));
    const found: Float64Array[] = [];
    for (let i = 0; i < fits.length; i += together) {
      found.push(...(await this.#fitTogether(design, fits.slice(i, i + together), memory, options)));
    }
    return this.loss === "softmax" ? found.map((each) => withCentredBiases(each, design)) : found;
  }

  async #fitTogether(
    design: Design,
    fits: readonly Fit[],
    memory: number,
    { tolerance, onFit, onPass }: SolveOptions,
  ): Promise<Float64Array[]> {
    const conditioner = await this.conditioner(design, fits);
    const searches = fits.map((fit) => minimise(fit.start, { tolerance: tolerance * sum(fit.weights), memory }));
    const points = new Map(searches.map((search, i) => [i, search.next().value]));
    const found: Float64Array[] = [];
    for (let pass = 1; points.size > 0; pass++) {
      const running = [...points].map(([i, at]) => ({ i, at, fit: fits[i]! }));
      const evaluated = await this.#evaluate(design, running, conditioner);
      for (const [place, { i }] of running.entries()) {
        const { value, done } = searches[i]!.next(evaluated[place]!);
        await this.turns.give();
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

  async #evaluate(
    design: Design,
    running: readonly { fit: Fit; at: Float64Array }[],
    conditioner: Matrix,
  ): Promise<Evaluated[]> {
    const { outputs, width, rows } = design;
    const size = outputs * width;
    const stack = float64([running.length, outputs, width]);
    const weights = new Float64Array(rows * running.length);
    running.forEach(({ fit, at }, place) => {
      stack.data.set(at, place * size);
      for (let row = 0; row < rows; row++) weights[row * running.length + place] = fit.weights[row]!;
    });
    const { values, gradient } = await this.normalisers(design, stack, weights);
    for (const [place, { fit, at }] of running.entries()) {
      const own = gradient.data.subarray(place * size, (place + 1) * size);
      const targets = await this.#targetsOf(design, fit.weights);
      let squares = 0;
      for (let start = 0; start < size; start += width) {
        const bias = start + width - 1;
        for (let j = start; j < bias; j++) {
          squares += at[j]! * at[j]!;
          own[j]! += fit.penalty * at[j]! - targets[j]!;
        }
        own[bias]! -= targets[bias]!;
      }
      values[place]! += 0.5 * fit.penalty * squares - dot(at, targets);
    }
    const { data } = await this.products.product(gradient, conditioner);
    return running.map((_, place) => {
      const range = [place * size, (place + 1) * size] as const;
      return {
        value: values[place]!,
        gradient: gradient.data.subarray(...range),
        conditioned: data.subarray(...range),
      };
    });
  }

  /** Outputs of a linear function for the first rows of a design, `[rows, outputs]`. @param coefficients `[outputs, width]` */
  async logits(design: Design, coefficients: Float64Array, rows = design.rows): Promise<Float64Array> {
    const result = new Float64Array(rows * this.outputs);
    const stack = float64([1, this.outputs, design.width], coefficients);
    for (const [from, to] of blocksOf(rows, this.outputs, design.width)) {
      const into = float64([to - from, this.outputs], result.subarray(from * this.outputs, to * this.outputs));
      const inputs = { x: design.block(from, to), coefficients: stack };
      await this.compiled.logits.run(inputs, undefined, new Map([["logits", into]]));
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
      const { value } = await this.compiled.loss.run(inputs, undefined, new Map([["gradient", into]]));
      for (let i = 0; i < fits; i++) values[i]! += Number(value!.data[i]);
      if (into !== gradient) for (let j = 0; j < into.data.length; j++) gradient.data[j]! += into.data[j]!;
      await this.turns.give();
    }
    return { values, gradient };
  }

  /** `Σ weightᵢ targetsᵢ xᵢᵀ`, `[outputs, width]`: the loss depends on the targets through this sum alone. */
  #targetsOf(design: Design, weights: Float64Array): Promise<Float64Array> {
    const { width, outputs, rows, values } = design;
    return kept(this.#targets, weights, async () => {
      const result = new Float64Array(outputs * width);
      await this.turns.each(rows, width, (place) => {
        const weight = weights[place]!;
        if (weight === 0) return;
        design.forTargets(place, (output, value) => {
          for (let j = 0; j < width; j++) result[output * width + j]! += weight * value * values[place * width + j]!;
        });
      });
      return result;
    });
  }

  /** `Xᵀ diag(weights) X`, estimated from some of the rows if there are many. */
  gram(design: Design): Promise<Matrix> {
    const { rows, width, weights } = design;
    return kept(this.#grams, design, async () => {
      let gram = float64([width, width]);
      let counted = 0;
      const each = Math.ceil((rows * width * width) / GRAM_PRODUCTS);
      for (const [from, to] of blocksOf(rows, width, width).filter((_, i) => i % each === 0)) {
        const x = design.block(from, to);
        const weighted = float64(x.shape);
        for (let at = 0, row = from; row < to; row++) {
          for (let j = 0; j < width; j++, at++) weighted.data[at] = weights[row]! * x.data[at]!;
        }
        gram = await this.products.product(weighted, x, { transA: true }, gram);
        counted += to - from;
        await this.turns.give();
      }
      return scaled(gram, rows / counted);
    });
  }

  /**
   * Approximates the inverse of the Hessian for each output, `[width, width]`: the inverse of the mean curvature times the features' sum
   * of squares, plus the penalty.
   */
  async conditioner(design: Design, fits: readonly Fit[]): Promise<Matrix> {
    const { rows, width, outputs } = design;
    const seen = Math.min(rows, CURVED_ROWS, Math.ceil(BLOCK_OUTPUTS / outputs));
    const [{ start, penalty }] = fits as readonly [Fit];
    const logits = await this.logits(design, start, seen);
    let mean = 0;
    for (let at = 0; at < logits.length; at += outputs) {
      mean += curvature(this.loss, logits.subarray(at, at + outputs)) / seen;
    }
    const share = fits.reduce((total, { weights }) => total + sum(weights), 0) / (fits.length * sum(design.weights));
    const matrix = scaled(await this.gram(design), share * Math.max(LEAST_CURVATURE, mean));
    for (let j = 0; j < width - 1; j++) matrix.data[j * width + j]! += penalty;
    return positiveInverse(matrix, this.products);
  }
}

function kept<Key extends object, Value>(all: WeakMap<Key, Value>, key: Key, compute: () => Value): Value {
  const value = all.get(key) ?? compute();
  all.set(key, value);
  return value;
}

const scaled = ({ shape, data }: Matrix, factor: number): Matrix =>
  float64(
    shape,
    data.map((value) => factor * value),
  );

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
