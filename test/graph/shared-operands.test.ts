import { expect, test } from "vitest";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph } from "../../src/graph/graph.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { add, gemm, mul, sumAll } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { runtime } from "../support/runtime.ts";

const [ROWS, IN] = [5, 24];
const made = (name: string, shape: number[]) => normal(1)(shape, randomFor(1, name));

/** Products of one input with thin weights, of these ranks, and the gradients of the weights. */
function write(ranks: readonly number[]) {
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float32", ["rows", IN]);
  const weights = ranks.map((rank, i) => graph.leaf("trainable", `A${i}`, "float32", [rank, IN]));
  const products = weights.map((A) => gemm(x, A, { transB: true }));
  const sums = products.map((y) => sumAll(mul(y, y)));
  const all = gradients(
    sums.reduce((a, b) => add(a, b)),
    weights,
  );
  const outputs = Object.fromEntries(
    ranks.flatMap((_, i) => [
      [`product${i}`, products[i]!],
      [`gradient${i}`, all[i]!],
    ]),
  );
  const { nodes } = onnxModel(outputs).model;
  return { outputs, gemms: nodes.filter(({ opType }) => opType === "Gemm").length };
}

test.each([
  [[2, 3, 4], 2],
  [[2], 2],
  [[4, 20, 4], 4],
])("ranks %j: %d products", async (ranks, expected) => {
  const { outputs, gemms } = write(ranks);
  expect(gemms).toBe(expected);
  const x = made("x", [ROWS, IN]);
  const weights = ranks.map((rank, i) => [`A${i}`, made(`A${i}`, [rank, IN])] as const);
  const compiled = await runtime.compile(outputs, new Map(weights));
  const results = await compiled.run({ x: float32([ROWS, IN], x.data) });
  await compiled.release();
  weights.forEach(([, { data: A }], i) => {
    const rank = ranks[i]!;
    const product = (row: number, r: number): number =>
      Array.from({ length: IN }, (_, k) => x.data[row * IN + k]! * A[r * IN + k]!).reduce((a, b) => a + b);
    const rows = [...Array(ROWS).keys()];
    asFloat32(results[`product${i}`]!).data.forEach((value, at) => {
      expect(value).toBeCloseTo(product(Math.floor(at / rank), at % rank), 4);
    });
    asFloat32(results[`gradient${i}`]!).data.forEach((value, at) => {
      const [r, k] = [Math.floor(at / IN), at % IN];
      expect(value).toBeCloseTo(
        rows.reduce((sum, row) => sum + 2 * product(row, r) * x.data[row * IN + k]!, 0),
        3,
      );
    });
  });
});
