import { Value } from "../graph.ts";
import { gemm } from "./products.ts";
import type { LinearFormat, StoredWeight } from "./weight-format.ts";

/**
 * A linear layer, `x Wᵀ + bias`: `[rows, in]` → `[rows, out]`. A float32 leaf `[out, in]` makes a plain product,
 * through which every operand can train. A weight in another format receives no gradient.
 */
export function linear(x: Value, weight: Value | StoredWeight<LinearFormat>, bias?: Value): Value {
  if (weight instanceof Value) return gemm(x, weight, { transB: true, addend: bias });
  return weight.format.linear(x, weight.parts, weight.shape, bias);
}
