import { z } from "zod";
import type { LinearModule } from "../../architectures/model-parts.ts";
import { float32, type Tensor } from "../../graph/tensor.ts";
import { product, scaleColumns, scaleRows, transposed } from "../matrix.ts";
import type { MethodStart } from "../method.ts";
import { type Directions, principalDirections } from "./principal-directions.ts";

type Matrix = Tensor<"float32">;

const STARTS = ["random", "weights", "activations", "gradients"] as const;

/** Source of the first values of projections. */
export type ProjectionStart = (typeof STARTS)[number];

/** Option of methods that have projections. */
export const initProjections = z
  .enum(STARTS)
  .describe(
    "start of the projections: random values, or the main directions of the layer's weight, of its inputs (activations) or of the gradient of its weight",
  );

/** Number of training examples that gradients and activations are computed for. */
const EXAMPLES = 48;

/** Largest error of a direction, relative to the largest singular value: that is enough for a start. */
const TOLERANCE = 0.1;

/** Main directions of a layer: of its outputs (`left [out, rank]`) and of its inputs (`right [rank, in]`). */
interface LayerDirections extends Directions {
  module: LinearModule;
}

/**
 * Yields directions from which projections of layers can start, in the order of `modules`:
 *
 * - `weights`: those of the weight's largest singular values (PiSSA, Meng et al. 2024, arXiv 2404.02948);
 * - `activations`: those along which the layer's inputs are largest (EVA, Paischer et al. 2024, arXiv 2410.07170), and the outputs to
 *   which the weight maps them;
 * - `gradients`: those of the largest singular values of the gradient (LoRA-GA, Wang et al. 2024, arXiv 2407.05000).
 */
async function* directionsOf(
  start: Exclude<ProjectionStart, "random">,
  modules: readonly LinearModule[],
  rank: number,
  from: MethodStart,
): AsyncGenerator<LayerDirections, void> {
  if (start === "weights") {
    for (const module of modules) {
      yield { module, ...principalDirections(from.weightOf(module.name), rank, TOLERANCE) };
    }
  } else if (start === "gradients") {
    for await (const { module, gradient } of from.gradients(modules, EXAMPLES)) {
      yield { module, ...principalDirections(gradient, rank, TOLERANCE) };
    }
  } else {
    for await (const { module, products } of from.inputs(modules, EXAMPLES)) {
      const { right } = principalDirections(products, rank, TOLERANCE);
      const mapped = principalDirections(product(from.weightOf(module.name), transposed(right)), rank);
      yield { module, ...mapped, right: product(mapped.right, right) };
    }
  }
}

/**
 * Computes projections A `[rank, in]` and B `[out, rank]` of layers from their directions, by parameter name; none for `random`.
 * @param lengthsOf lengths of A's rows and of B's columns
 */
export async function startingProjections(
  start: ProjectionStart,
  modules: readonly LinearModule[],
  rank: number,
  from: MethodStart,
  lengthsOf: (layer: LayerDirections) => { A: number; B: number | readonly number[] },
): Promise<Map<string, Matrix>> {
  const projections = new Map<string, Matrix>();
  if (start === "random") return projections;
  let done = 0;
  await from.onLayer?.(done, modules.length);
  for await (const layer of directionsOf(start, modules, rank, from)) {
    const lengths = lengthsOf(layer);
    const factors = (length: number | readonly number[]): Matrix =>
      float32(
        [rank],
        Float32Array.from({ length: rank }, (_, i) => (typeof length === "number" ? length : length[i]!)),
      );
    projections.set(`${layer.module.name}.A`, scaleRows(layer.right, factors(lengths.A)));
    projections.set(`${layer.module.name}.B`, scaleColumns(layer.left, factors(lengths.B)));
    await from.onLayer?.(++done, modules.length);
  }
  return projections;
}

/** The singular value that all of a weight's would be if they were equal. */
export const usualSingularValue = ({ shape, data }: Matrix): number =>
  Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / Math.min(...shape));
