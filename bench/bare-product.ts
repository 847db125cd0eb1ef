import { Graph, type Value } from "../src/graph/graph.ts";
import { define, MICROSOFT } from "../src/graph/ops/define.ts";
import { concat, gemm } from "../src/graph/ops.ts";
import { elementsOf, float32, type Tensor } from "../src/graph/tensor.ts";
import type { CompiledGraph } from "../src/runtime/compiled-graph.ts";
import type { Runtime } from "../src/runtime/session.ts";

/** Sizes of the products of a feed-forward network. */
export interface ProductSizes {
  tokens: number;
  hidden: number;
  intermediate: number;
  layers: number;
}

/** `rows W` of bytes, of which the first row is read: rows `[m, k]`, weights `[k, n]`, a scale for each column `[n]`. */
const FIRST_ROW_OF_BYTES = define<[Value, Value, Value]>({
  name: "FirstRowOfBytes",
  infer: ([, weight]) => [{ dtype: "float32", shape: [1, weight.shape[1]!] }],
  onnx({ inputs: [rows, weight, scales], outputs }, emitter) {
    const factors = [rows, weight, emitter.scalar("float32", 1), scales];
    const product = emitter.emit("MatMulIntegerToFloat", factors, { domain: MICROSOFT });
    emitter.emit("Slice", [product, ...[0, 1, 0].map((place) => emitter.int64([place]))], { outputs });
  },
});

/** The limit that a step is compared with: matrix products and nothing else, of the shapes of a feed-forward network. */
export class BareProduct {
  readonly #graph: CompiledGraph;
  readonly #inputs: Record<string, Tensor>;
  readonly #flops: number;

  private constructor(
    graph: CompiledGraph,
    inputs: Record<string, Tensor>,
    { tokens, hidden, intermediate, layers }: ProductSizes,
  ) {
    this.#graph = graph;
    this.#inputs = inputs;
    this.#flops = 4 * tokens * hidden * intermediate * layers;
  }

  /** `x [tokens, hidden]` through `layers` pairs of float32 products, hidden → intermediate → hidden. */
  static async float32(runtime: Runtime, sizes: ProductSizes): Promise<BareProduct> {
    const { tokens, hidden } = sizes;
    const graph = new Graph();
    const weights = new Map<string, Tensor>();
    let y: Value = graph.leaf("input", "x", "float32", [tokens, hidden]);
    for (const [name, inFeatures, outFeatures] of layersOf(sizes)) {
      const shape = [outFeatures, inFeatures];
      weights.set(name, float32(shape, new Float32Array(elementsOf(shape)).fill(1e-3)));
      y = gemm(y, graph.leaf("frozen", name, "float32", shape), { transB: true });
    }
    const x = float32([tokens, hidden], new Float32Array(tokens * hidden).fill(0.01));
    return new BareProduct(await runtime.compile({ y }, weights), { x }, sizes);
  }

  /** The same products of rows and weights that are bytes already. */
  static async int8(runtime: Runtime, sizes: ProductSizes): Promise<BareProduct> {
    const { tokens } = sizes;
    const graph = new Graph();
    const weights = new Map<string, Tensor>();
    const inputs: Record<string, Tensor> = {};
    const firstRows = layersOf(sizes).map(([name, inFeatures, outFeatures]) => {
      const rows = `rows${inFeatures}`;
      const shape = [tokens, inFeatures];
      inputs[rows] = { dtype: "uint8", shape, data: new Uint8Array(elementsOf(shape)).fill(128) };
      weights.set(name, {
        dtype: "int8",
        shape: [inFeatures, outFeatures],
        data: new Int8Array(inFeatures * outFeatures).fill(9),
      });
      weights.set(`${name}.scales`, float32([outFeatures], new Float32Array(outFeatures).fill(1e-3)));
      const operands: [Value, Value, Value] = [
        graph.leaf("input", rows, "uint8", shape),
        graph.leaf("frozen", name, "int8", [inFeatures, outFeatures]),
        graph.leaf("frozen", `${name}.scales`, "float32", [outFeatures]),
      ];
      return graph.apply(FIRST_ROW_OF_BYTES, operands, {});
    });
    return new BareProduct(await runtime.compile({ y: concat(firstRows, 1) }, weights), inputs, sizes);
  }

  /** GFLOP/s of one run. */
  async measure(): Promise<number> {
    const start = performance.now();
    await this.#graph.run(this.#inputs);
    return this.#flops / (performance.now() - start) / 1e6;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }
}

const layersOf = ({ hidden, intermediate, layers }: ProductSizes) =>
  Array.from({ length: layers }, (_, layer): [name: string, inFeatures: number, outFeatures: number][] => [
    [`up${layer}`, hidden, intermediate],
    [`down${layer}`, intermediate, hidden],
  ]).flat();
