import type { LinearModule } from "../architectures/model-parts.ts";
import type { Value } from "../graph/graph.ts";
import { add, detach, div, gemm, mul, padTo, reduceSum, slice, sqrt, sub, transpose } from "../graph/ops.ts";
import { float32, type Tensor } from "../graph/tensor.ts";
import type { AdapterParameter } from "./method.ts";

/** Norm of each row of a matrix `[rows, width]`, `[rows]`. */
export function rowNorms({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [rows, width] = shape as [number, number];
  const squares = new Float64Array(rows);
  data.forEach((value, i) => {
    squares[Math.floor(i / width)]! += value * value;
  });
  return float32([rows], Float32Array.from(squares, Math.sqrt));
}

/** Row norms `m`, which train, and those of the base weight, `m0`. Neither decays, because decay would shrink the base's weights. */
export function lengthParameters({ name, outFeatures }: LinearModule, rateFactor: number): AdapterParameter[] {
  const initialize: AdapterParameter["initialize"] = (_shape, _random, weight) => rowNorms(weight());
  const common = { shape: [outFeatures], decays: false, initialize };
  return [
    { ...common, name: `${name}.m`, rateFactor },
    { ...common, name: `${name}.m0`, ofBase: true },
  ];
}

/** Values that DoRA reads from a layer `W` with a LoRA. */
export interface DecomposedLayer {
  /** Output of the layer with its LoRA, `[tokens, out]`: `W0 x + s B A x`. */
  sum: Value;
  /** The layer without its LoRA, with its bias. */
  layer(input: Value): Value;
  /** `[rank, in]` */
  A: Value;
  /** `[out, rank]` */
  B: Value;
  scale: number;
  /** Trained row norms, `[out]`. */
  magnitude: Value;
  /** Norm of each row of the layer's own weight, `[out]`. */
  baseNorms: Value;
}

/**
 * DoRA (Liu et al. 2024, arXiv 2402.09353): each row of `W + s B A` is scaled to a trained norm m, `y = m / ‖W + s B A‖ · (W x + s B A x)
 * + bias`. The gradient treats the row's own norm as a constant (section 4.3). It is computed as `‖W‖² + rowsum(B ∘ (2s W Aᵀ + s² B A
 * Aᵀ))`, for which the layer takes the rows of A as its input: DoRA needs no other access to the weight, in any format.
 */
export function decomposed({ sum, layer, A, B, scale, magnitude, baseNorms }: DecomposedLayer): Value {
  const rank = A.shape[0] as number;
  // The layer's output for a row of zeros is its bias.
  const read = layer(padTo(A, 0, 0, rank + 1));
  const bias = slice(read, 0, rank, rank + 1);
  const product = transpose(sub(slice(read, 0, 0, rank), bias), [1, 0]);
  const gram = gemm(A, A, { transB: true });
  const change = mul(B, gemm(B, gram, { alpha: scale * scale, addend: mul(product, 2 * scale) }));
  const squares = add(mul(baseNorms, baseNorms), reduceSum(change, [1]));
  const factor = div(magnitude, detach(sqrt(squares)));
  return add(mul(sum, factor), sub(bias, mul(bias, factor)));
}
