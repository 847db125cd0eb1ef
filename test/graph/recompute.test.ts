import { expect, test } from "vitest";
import { gradients, recompute } from "../../src/graph/gradients.ts";
import { Graph, liveNodes, type Value } from "../../src/graph/graph.ts";
import { planMemory } from "../../src/graph/memory.ts";
import { add, gemm, mul, sumAll, tanh } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { runtime } from "../support/runtime.ts";

/** Blocks that share a weight and read an outside value that also trains. */
function write(again: boolean, blocks = 3) {
  const graph = new Graph();
  const leaf = (name: string, shape: (number | string)[]): Value => graph.leaf("trainable", name, "float32", shape);
  const shared = leaf("shared", [3, 3]);
  const outside = tanh(leaf("outside", [3]));
  const x = graph.leaf("input", "x", "float32", ["rows", 3]);
  let y: Value = mul(x, leaf("scale", [3]));
  for (let block = 0; block < blocks; block++) {
    const inner = (input: Value): Value =>
      add(input, add(tanh(gemm(tanh(gemm(input, leaf(`w${block}`, [3, 3]))), shared)), outside));
    y = again ? recompute(y, inner) : inner(y);
  }
  const names = ["shared", "outside", "scale", ...Array.from({ length: blocks }, (_, block) => `w${block}`)];
  const loss = sumAll(mul(y, y));
  const found = gradients(
    loss,
    names.map((name) => graph.leaves.get(name)!),
  );
  return { loss, ...Object.fromEntries(found.map((gradient, i) => [`d${names[i]}`, gradient])) };
}

test("recomputed blocks give the same gradients, to the bit, and are computed when needed", async () => {
  const values = (size: number, seed: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i));
  const weights = new Map(
    ["shared", "w0", "w1", "w2"].map((name, i) => [name, float32([3, 3], values(9, i))] as const),
  );
  weights.set("outside", float32([3], values(3, 7)));
  weights.set("scale", float32([3], values(3, 8)));
  const run = async (again: boolean) => {
    const compiled = await runtime.compile(write(again), weights);
    const results = await compiled.run({ x: float32([5, 3], values(15, 9)) });
    await compiled.release();
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, [...asFloat32(tensor).data]]));
  };
  expect(await run(true)).toEqual(await run(false));
});

test("each block is written twice, the second time after the gradient that it is for", () => {
  const outputs = Object.values(write(true));
  const order = liveNodes(outputs).map(({ op }) => op.name);
  expect(order.filter((name) => name === "After")).toHaveLength(3);
  expect(order.filter((name) => name === "Gemm").length).toBe(
    liveNodes(Object.values(write(false))).filter(({ op }) => op.name === "Gemm").length + 6,
  );
  const again = liveNodes(outputs).filter(({ op }) => op.name === "After");
  for (const { inputs } of again) expect(inputs[1]!.node!.provenance.pass).toBe("backward");
});

test("another block takes only the memory of its input and its gradients", () => {
  const rows = 1000;
  const bytes = (again: boolean, blocks: number): number => {
    const graph = new Graph();
    const leaves = Array.from({ length: blocks }, (_, block) =>
      graph.leaf("trainable", `w${block}`, "float32", [3, 3]),
    );
    let y: Value = graph.leaf("input", "x", "float32", ["rows", 3]);
    for (const leaf of leaves) {
      const inner = (input: Value): Value => add(input, tanh(tanh(gemm(tanh(input), leaf))));
      y = again ? recompute(y, inner) : inner(y);
    }
    return planMemory(gradients(sumAll(mul(y, y)), leaves))({ rows });
  };
  const hidden = 4 * 3 * rows;
  expect(bytes(true, 9) - bytes(true, 8)).toBeLessThan(1.1 * hidden);
  expect(bytes(false, 9) - bytes(false, 8)).toBeGreaterThan(2.9 * hidden);
});
