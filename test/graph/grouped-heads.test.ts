import { expect, test } from "vitest";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph } from "../../src/graph/graph.ts";
import { matmul, mul, sumAll } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { runtime } from "../support/runtime.ts";

const SIZES = { queries: 3, keys: 5, batch: 2, kvHeads: 2, groups: 3, size: 4 };
const { queries, keys, batch, kvHeads, groups, size } = SIZES;

const numbers = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 1.7));

/** Scores `[batch, kvHeads, groups, queries, keys]` of grouped heads: each key head serves a group of query heads. */
test("computes products of grouped heads with queries and keys of different lengths", async () => {
  const graph = new Graph();
  const query = graph.leaf("input", "query", "float32", ["sequence", "batch", kvHeads, groups, size]);
  const key = graph.leaf("input", "key", "float32", ["past+sequence", "batch", kvHeads, 1, size]);
  const direction = graph.leaf("input", "direction", "float32", [
    "batch",
    kvHeads,
    groups,
    "sequence",
    "past+sequence",
  ]);
  const scores = matmul(query, key, { transBatchA: true, transBatchB: true, transB: true });
  expect(scores.shape).toEqual(direction.shape);
  const mixed = matmul(scores, key, { transBatchB: true });
  expect(mixed.shape).toEqual(["batch", kvHeads, groups, "sequence", size]);
  const [dQuery, dKey] = gradients(sumAll(mul(scores, direction)), [query, key]);
  const compiled = await runtime.compile({ scores, mixed, dQuery: dQuery!, dKey: dKey! }, new Map());
  const q = numbers(queries * batch * kvHeads * groups * size, 1);
  const k = numbers(keys * batch * kvHeads * size, 2);
  const d = numbers(batch * kvHeads * groups * queries * keys, 3);
  const found = await compiled.run({
    query: float32([queries, batch, kvHeads, groups, size], q),
    key: float32([keys, batch, kvHeads, 1, size], k),
    direction: float32([batch, kvHeads, groups, queries, keys], d),
  });
  await compiled.release();

  const expected = {
    scores: new Float64Array(d.length),
    mixed: new Float64Array(batch * kvHeads * groups * queries * size),
    dQuery: new Float64Array(q.length),
    dKey: new Float64Array(k.length),
  };
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < kvHeads; h++)
      for (let g = 0; g < groups; g++)
        for (let i = 0; i < queries; i++)
          for (let j = 0; j < keys; j++) {
            const queryAt = (((i * batch + b) * kvHeads + h) * groups + g) * size;
            const keyAt = ((j * batch + b) * kvHeads + h) * size;
            const mixedAt = (((b * kvHeads + h) * groups + g) * queries + i) * size;
            const at = (((b * kvHeads + h) * groups + g) * queries + i) * keys + j;
            for (let s = 0; s < size; s++) expected.scores[at]! += q[queryAt + s]! * k[keyAt + s]!;
            for (let s = 0; s < size; s++) {
              expected.mixed[mixedAt + s]! += expected.scores[at]! * k[keyAt + s]!;
              expected.dQuery[queryAt + s]! += d[at]! * k[keyAt + s]!;
              expected.dKey[keyAt + s]! += d[at]! * q[queryAt + s]!;
            }
          }
  for (const [name, values] of Object.entries(expected)) {
    const { data } = asFloat32(found[name]!);
    expect(data, name).toHaveLength(values.length);
    values.forEach((value, i) => {
      expect(data[i], `${name}[${i}]`).toBeCloseTo(value, 4);
    });
  }
});
