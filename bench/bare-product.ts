import { Graph, type Value } from "../src/graph/graph.ts";
import { gemm } from "../src/graph/ops.ts";
import { float32, type Tensor } from "../src/graph/tensor.ts";
import type { CompiledGraph } from "../src/runtime/compiled-graph.ts";
import type { Runtime } from "../src/runtime/session.ts";

/** The limit that a step is held against: matrix products and nothing else, of the shapes of a feed-forward network. */
export class BareProduct {
  readonly #graph: CompiledGraph;
  readonly #x: Tensor<"float32">;
  readonly #flops: number;

  private constructor(graph: CompiledGraph, tokens: number, hidden: number, flops: number) {
    this.#graph = graph;
    this.#x = float32([tokens, hidden], new Float32Array(tokens * hidden).fill(0.01));
    this.#flops = flops;
  }

  /** `x [tokens, hidden]` through `layers` pairs of products, hidden → intermediate → hidden. */
  static async compile(
    runtime: Runtime,
    { tokens, hidden, intermediate, layers }: { tokens: number; hidden: number; intermediate: number; layers: number },
  ): Promise<BareProduct> {
    const graph = new Graph();
    const weights = new Map<string, Tensor<"float32">>();
    let y: Value = graph.leaf("input", "x", "float32", [tokens, hidden]);
    for (let layer = 0; layer < layers; layer++) {
      for (const [name, shape] of [
        [`up${layer}`, [intermediate, hidden]],
        [`down${layer}`, [hidden, intermediate]],
      ] as const) {
        weights.set(name, float32(shape, new Float32Array(hidden * intermediate).fill(1e-3)));
        y = gemm(y, graph.leaf("frozen", name, "float32", shape), { transB: true });
      }
    }
    const compiled = await runtime.compile({ y }, weights);
    return new BareProduct(compiled, tokens, hidden, 4 * tokens * hidden * intermediate * layers);
  }

  /** GFLOP/s of one run. */
  async measure(): Promise<number> {
    const start = performance.now();
    await this.#graph.run({ x: this.#x });
    return this.#flops / (performance.now() - start) / 1e6;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }
}
