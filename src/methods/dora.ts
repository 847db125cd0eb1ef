import type { Value } from "../graph/graph.ts";
import { add, detach, div, gemm, mul, padTo, reduceSum, slice, sqrt, sub, transpose } from "../graph/ops.ts";
import { float32, type Tensor } from "../graph/tensor.ts";
import type { LinearModule } from "../models/model-parts.ts";
import type { AdapterParameter } from "./method.ts";

/** Length of each row of a matrix `[rows, width]`, `[rows]`. */
export function rowNorms({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [rows, width] = shape as [number, number];
  const squares = new Float64Array(rows);
  data.forEach((value, i) => {
    squares[Math.floor(i / width)]! += value * value;
  });
  return float32([rows], Float32Array.from(squares, Math.sqrt));
}

/** The lengths of rows that train, `m`, and those of the base, `m0`; decay would shrink the base's own weights. */
export function lengthParameters({ name, outFeatures }: LinearModule, rateFactor: number): AdapterParameter[] {
  const initialize: AdapterParameter["initialize"] = (_shape, _random, weight) => rowNorms(weight());
  const common = { shape: [outFeatures], decays: false, initialize };
  return [
    { ...common, name: `${name}.m`, rateFactor },
    { ...common, name: `${name}.m0`, ofBase: true },
  ];
}

/** What DoRA reads of a layer `W` with a LoRA beside it. */
export interface DecomposedLayer {
  /** What the layer with its LoRA makes of the tokens, `[tokens, out]`: `W0 x + s B A x`. */
  sum: Value;
  /** The layer alone, with its bias. */
  layer(input: Value): Value;
  /** `[rank, in]` */
  A: Value;
  /** `[out, rank]` */
  B: Value;
  scale: number;
  /** Trained, `[out]`. */
  magnitude: Value;
  /** Length of each row of the layer's own weight, `[out]`. */
  baseNorms: Value;
}

/**
 * DoRA (Liu et al. 2024, arXiv 2402.09353): each row of `W + s B A` is scaled to a trained length m, `y = m / ‖W + s B A‖ · (W x + s B A x)
 * + bias`. The length that it had is a constant to the gradient (section 4.3). It comes of `‖W‖² + rowsum(B ∘ (2s W Aᵀ + s² B A Aᵀ))`,
 * for which the layer reads the rows of A: its weight is read in no other way, in whatever format it is.
 */
export function decomposed({ sum, layer, A, B, scale, magnitude, baseNorms }: DecomposedLayer): Value {
  const rank = A.shape[0] as number;
  // What the layer makes of a row of zeros is its bias.
  const read = layer(padTo(A, 0, 0, rank + 1));
  const bias = slice(read, 0, rank, rank + 1);
  const product = transpose(sub(slice(read, 0, 0, rank), bias), [1, 0]);
  const gram = gemm(A, A, { transB: true });
  const change = mul(B, gemm(B, gram, { alpha: scale * scale, addend: mul(product, 2 * scale) }));
  const squares = add(mul(baseNorms, baseNorms), reduceSum(change, [1]));
  const factor = div(magnitude, detach(sqrt(squares)));
  return add(mul(sum, factor), sub(bias, mul(bias, factor)));
}
