import { Graph } from "../../graph/graph.ts";
import { gemm, mul } from "../../graph/ops.ts";
import { asFloat64, type Tensor } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";

/** A matrix in float64. */
export type Matrix = Tensor<"float64">;

/** Which factors of a product are transposed, and the factor of the product. */
export interface ProductForm {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
}

/** Products of float64 matrices of any size, computed by ONNX Runtime. */
export class Products {
  readonly #compiled = new Map<string, Promise<CompiledGraph>>();

  constructor(private readonly runtime: Runtime) {}

  /** `alpha · op(a) · op(b) + addend` */
  async product(a: Matrix, b: Matrix, form: ProductForm = {}, addend?: Matrix): Promise<Matrix> {
    const key = `${JSON.stringify(form)}${addend !== undefined}`;
    const compiled = this.#compiled.get(key) ?? this.#compile(form, addend !== undefined);
    this.#compiled.set(key, compiled);
    const { product } = await (await compiled).run({ a, b, ...(addend && { addend }) });
    return asFloat64(product!);
  }

  /** `xᵀ · diag(weights) · x` @param x `[rows, columns]` @param weights `[rows, 1]` */
  async gram(x: Matrix, weights: Matrix): Promise<Matrix> {
    const compiled = this.#compiled.get("gram") ?? this.#compileGram();
    this.#compiled.set("gram", compiled);
    const { gram } = await (await compiled).run({ x, weights });
    return asFloat64(gram!);
  }

  #compile({ transA = false, transB = false, alpha = 1 }: ProductForm, adds: boolean): Promise<CompiledGraph> {
    const graph = new Graph();
    const matrix = (name: string, rows: string, columns: string) =>
      graph.leaf("input", name, "float64", [rows, columns]);
    const a = transA ? matrix("a", "inner", "rows") : matrix("a", "rows", "inner");
    const b = transB ? matrix("b", "columns", "inner") : matrix("b", "inner", "columns");
    const addend = adds ? matrix("addend", "rows", "columns") : undefined;
    return this.runtime.compile({ product: gemm(a, b, { transA, transB, alpha, addend }) }, new Map());
  }

  #compileGram(): Promise<CompiledGraph> {
    const graph = new Graph();
    const x = graph.leaf("input", "x", "float64", ["rows", "columns"]);
    const weights = graph.leaf("input", "weights", "float64", ["rows", 1]);
    return this.runtime.compile({ gram: gemm(mul(x, weights), x, { transA: true }) }, new Map());
  }

  async release(): Promise<void> {
    for (const compiled of this.#compiled.values()) await (await compiled).release();
    this.#compiled.clear();
  }
}
