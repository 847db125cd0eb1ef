import type { Tensors } from "../../graph/tensor.ts";

/** Euclidean norm of all gradients as one vector, summed in float64. Not finite if a gradient is not. */
export function globalNorm(gradients: Tensors<"float32">): number {
  let squares = 0;
  for (const { data } of gradients.values()) {
    for (let i = 0; i < data.length; i++) squares += data[i]! * data[i]!;
  }
  return Math.sqrt(squares);
}

/**
 * Factor that reduces the global norm of gradients to at most `maxNorm`, as in PyTorch's `clip_grad_norm_`. It is 1 if the norm is
 * already small enough, or not finite (the caller checks that).
 */
export function clippingFactor(norm: number, maxNorm: number): number {
  return norm < Number.POSITIVE_INFINITY ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
}

export function scaleGradients(gradients: Tensors<"float32">, factor: number): void {
  if (factor === 1) return;
  for (const { data } of gradients.values()) {
    for (let i = 0; i < data.length; i++) data[i]! *= factor;
  }
}
