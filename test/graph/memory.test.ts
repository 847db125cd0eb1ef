import { expect, test } from "vitest";
import { Graph } from "../../src/graph/graph.ts";
import { planMemory } from "../../src/graph/memory.ts";
import { add, exp, gemm, mul, relu, reshape, sumAll } from "../../src/graph/ops.ts";

const FLOAT = 4;

function leaves() {
  const graph = new Graph();
  return {
    x: graph.leaf("input", "x", "float32", ["rows", 8]),
    weight: graph.leaf("frozen", "weight", "float32", [8, 100]),
  };
}

test("a value takes memory from the node that computes it to the last that reads it", () => {
  const { x, weight } = leaves();
  // Two values of the chain at a time, beside the input.
  const chain = exp(relu(exp(gemm(x, weight))));
  expect(planMemory([chain])({ rows: 3 })).toBe(FLOAT * 3 * (8 + 2 * 100));
  // A value that is read again at the end is kept until then, as in a backward pass.
  const first = gemm(x, weight);
  const kept = mul(exp(relu(exp(first))), first);
  expect(planMemory([kept])({ rows: 3 })).toBe(FLOAT * 3 * (8 + 3 * 100));
});

test("outputs stay, weights are not counted, and a view takes no memory but keeps its value", () => {
  const { x, weight } = leaves();
  const product = gemm(x, weight);
  const [a, b] = [exp(product), relu(product)];
  expect(planMemory([a, b])({ rows: 2 })).toBe(FLOAT * 2 * (8 + 3 * 100));
  const view = reshape(product, ["rows", 10, 10]);
  expect(planMemory([sumAll(exp(view))])({ rows: 2 })).toBe(FLOAT * 2 * (8 + 2 * 100));
  // The sum takes memory at the same time.
  expect(planMemory([add(sumAll(exp(product)), sumAll(view))])({ rows: 2 })).toBe(FLOAT * (2 * (8 + 2 * 100) + 1));
});
