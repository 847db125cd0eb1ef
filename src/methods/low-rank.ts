import { float32, type Tensor } from "../graph/tensor.ts";

/** A layer's adapter as an ordinary LoRA: it adds `alpha / rank · B A` to the layer's weight. */
export interface LowRank {
  rank: number;
  alpha: number;
  /** `[rank, in]` */
  A: Tensor<"float32">;
  /** `[out, rank]` */
  B: Tensor<"float32">;
  /** Norm to which each row of the weight is then scaled, `[out]` (DoRA). */
  magnitude?: Tensor<"float32"> | undefined;
}

/**
 * Converts `scale · B diag(gates) A` to a LoRA that contains only the open gates, or one gate if all are closed, since LoRA has no
 * rank 0. A includes gates and scale.
 */
export function openGates(
  A: Tensor<"float32">,
  gates: Tensor<"float32">,
  B: Tensor<"float32">,
  scale: number,
): LowRank {
  const [count, width] = A.shape as [number, number];
  const height = B.shape[0]!;
  const kept = openIndices(gates);
  const rank = kept.length;
  const [rows, columns] = [float32([rank, width]), float32([height, rank])];
  kept.forEach((from, to) => {
    for (let j = 0; j < width; j++) rows.data[to * width + j] = A.data[from * width + j]! * gates.data[from]! * scale;
    for (let i = 0; i < height; i++) columns.data[i * rank + to] = B.data[i * count + from]!;
  });
  return { rank, alpha: rank, A: rows, B: columns };
}

/** Indices of the gates that are not 0; the first index if all are 0. */
export function openIndices({ data }: Tensor<"float32">): number[] {
  const open = [...data.keys()].filter((i) => data[i] !== 0);
  return open.length > 0 ? open : [0];
}
