import type { Value } from "../graph.ts";
import type { DataType, Tensor } from "../tensor.ts";

/** A way to store the weight `[out, in]` of a linear layer that does not train: tensors that stand in its place, by part. */
export interface LinearFormat<Part extends string = string> {
  /** What the tensors are like. */
  parts(outFeatures: number, inFeatures: number): Record<Part, Pick<Tensor, "dtype" | "shape">>;
  /** The tensors, from the weight. */
  quantize(weight: Tensor<"float32">): Record<Part, Tensor>;
  /** `x Wᵀ + bias`, `[rows, in]` → `[rows, out]`. The gradient flows to `x` and to the bias. */
  linear(x: Value, parts: Readonly<Record<Part, Value>>, bias?: Value): Value;
}

/** A weight in some format as a graph reads it. */
export interface StoredWeight {
  format: LinearFormat;
  parts: Readonly<Record<string, Value>>;
}

/** Description of a tensor. */
export const like = (dtype: DataType, ...shape: number[]): Pick<Tensor, "dtype" | "shape"> => ({ dtype, shape });
