import type { Tensors } from "../graph/tensor.ts";

/** Euclidean norm of all gradients taken as one vector, summed in float64. Not finite where a gradient is not. */
export function globalNorm(gradients: Tensors<"float32">): number {
  let squares = 0;
  for (const { data } of gradients.values()) {
    for (let i = 0; i < data.length; i++) squares += data[i]! * data[i]!;
  }
  return Math.sqrt(squares);
}

/**
 * Scales all gradients in place so that their global norm is at most `maxNorm`, as PyTorch's `clip_grad_norm_`.
 * @returns the norm before clipping; where it is not finite the gradients are left as they are, for the caller to stop at
 */
export function clipGradients(gradients: Tensors<"float32">, maxNorm: number): number {
  const norm = globalNorm(gradients);
  const scale = maxNorm / (norm + 1e-6);
  if (scale < 1 && norm < Number.POSITIVE_INFINITY) {
    for (const { data } of gradients.values()) {
      for (let i = 0; i < data.length; i++) data[i]! *= scale;
    }
  }
  return norm;
}
