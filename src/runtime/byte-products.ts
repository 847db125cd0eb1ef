import { Graph, type Value } from "../graph/graph.ts";
import { int8 } from "../graph/ops/linear-int8.ts";
import { linear } from "../graph/ops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";

const [ROWS, WIDTH, OUTPUTS] = [8, 64, 16];

interface Compiled {
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

/**
 * Whether products of signed bytes saturate: x86 processors without VNNI add pairs of products in 16 bits. Tests it
 * with the largest bytes, whose sums are known.
 */
export async function saturatesByteProducts(
  compile: (outputs: Record<string, Value>, weights: Tensors) => Promise<Compiled>,
): Promise<boolean> {
  const weight = float32([OUTPUTS, WIDTH]);
  weight.data.fill(1);
  const parts = int8.quantize(weight);
  const graph = new Graph();
  const leaves = Object.entries(parts).map(([name, { dtype, shape }]: [string, Tensor]) => {
    return [name, graph.leaf("frozen", name, dtype, shape)] as const;
  });
  const x = graph.leaf("input", "x", "float32", ["rows", WIDTH]);
  const stored = { format: int8, shape: [OUTPUTS, WIDTH] as const, parts: Object.fromEntries(leaves) };
  const compiled = await compile({ y: linear(x, stored) }, new Map<string, Tensor>(Object.entries(parts)));
  try {
    const rows = float32([ROWS, WIDTH]);
    rows.data.fill(1);
    const { y } = await compiled.run({ x: rows });
    return areSaturated(asFloat32(y!).data);
  } finally {
    await compiled.release();
  }
}

export const areSaturated = (sums: Float32Array): boolean => sums.some((sum) => Math.abs(sum - WIDTH) > WIDTH / 100);
