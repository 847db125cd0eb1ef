import { expect, test } from "vitest";
import { attention, causalBias, maskBias } from "../../src/architectures/attention.ts";
import { ForwardContext } from "../../src/architectures/forward-context.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph } from "../../src/graph/graph.ts";
import { mul, sumAll } from "../../src/graph/ops.ts";
import { asFloat32, float32 } from "../../src/graph/tensor.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { runtime } from "../support/runtime.ts";
import { difference, plainAttention, type Rows } from "./plain-attention.ts";

const SHAPE = { heads: 4, keyValueHeads: 2, size: 3 };
const [WIDTH, KEY_WIDTH] = [SHAPE.heads * SHAPE.size, SHAPE.keyValueHeads * SHAPE.size];

const numbers = (count: number, seed: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => Math.fround(Math.sin(seed + i * 1.7)));
const encodingOf = (length: number) => ({
  inputIds: new Int32Array(length),
  tokenTypeIds: new Int32Array(length),
});
const total = (lengths: readonly number[]): number => lengths.reduce((sum, length) => sum + length, 0);

/** Splits flat values into each example's rows. */
function rowsOf(values: Float64Array, lengths: readonly number[], width: number): Rows[] {
  let row = 0;
  return lengths.map((length) => Array.from({ length }, () => Array.from(values.subarray(row * width, ++row * width))));
}

test.each<[string, { queries: number[]; keys: number[]; causal: boolean }]>([
  ["self-attention", { queries: [3, 1, 4], keys: [3, 1, 4], causal: false }],
  ["causal self-attention", { queries: [3, 1, 4], keys: [3, 1, 4], causal: true }],
  ["cross-attention to a shorter or longer text", { queries: [2, 4, 1], keys: [3, 1, 6], causal: false }],
])("grouped heads: %s equals a plain loop, including gradients", async (_, { queries, keys, causal }) => {
  const graph = new Graph();
  const context = new ForwardContext(graph, { trains: () => false, dropout: false });
  const same = queries.join() === keys.join();
  const [seen, own] = [context.tokens(), context.tokens(same ? "" : "decoder.")];
  const query = graph.leaf("input", "query", "float32", [own.tokens, WIDTH]);
  const key = graph.leaf("input", "key", "float32", [seen.tokens, KEY_WIDTH]);
  const value = graph.leaf("input", "value", "float32", [seen.tokens, KEY_WIDTH]);
  const direction = graph.leaf("input", "direction", "float32", [own.tokens, WIDTH]);
  const bias = causal ? causalBias(own) : maskBias(seen);
  const { heads, keyValueHeads } = SHAPE;
  const attended = attention(
    context,
    { query, key, value },
    { queries: own, keys: seen },
    { heads, keyValueHeads, bias, dropout: 0 },
  );
  expect(attended.shape).toEqual([own.tokens, WIDTH]);
  const [dQuery, dKey, dValue] = gradients(sumAll(mul(attended, direction)), [query, key, value]);
  const outputs = { attended, dQuery: dQuery!, dKey: dKey!, dValue: dValue! };
  const compiled = await runtime.compile(outputs, new Map());

  const examples = queries.map((length, index) => ({
    index,
    encoding: encodingOf(keys[index]!),
    decoder: encodingOf(length),
  }));
  const q = numbers(total(queries) * WIDTH, 1);
  const k = numbers(total(keys) * KEY_WIDTH, 2);
  const v = numbers(total(keys) * KEY_WIDTH, 3);
  const d = numbers(q.length, 4);
  const found = await compiled.run({
    ...layOut(context.streams, examples).inputs,
    query: float32([total(queries), WIDTH], Float32Array.from(q)),
    key: float32([total(keys), KEY_WIDTH], Float32Array.from(k)),
    value: float32([total(keys), KEY_WIDTH], Float32Array.from(v)),
    direction: float32([total(queries), WIDTH], Float32Array.from(d)),
  });
  await compiled.release();

  const plain = (): number[] => {
    const [qs, ks, vs] = [rowsOf(q, queries, WIDTH), rowsOf(k, keys, KEY_WIDTH), rowsOf(v, keys, KEY_WIDTH)];
    const sees = (at: number, other: number) => !causal || other <= at;
    return qs.flatMap((each, i) => plainAttention(each, ks[i]!, vs[i]!, SHAPE, sees).flat());
  };
  const along = () => plain().reduce((sum, each, i) => sum + each * d[i]!, 0);
  const expected = {
    attended: plain(),
    dQuery: q.map((_, i) => difference(q, i, along)),
    dKey: k.map((_, i) => difference(k, i, along)),
    dValue: v.map((_, i) => difference(v, i, along)),
  };
  for (const [name, values] of Object.entries(expected)) {
    const { data } = asFloat32(found[name]!);
    expect(data, name).toHaveLength(values.length);
    values.forEach((each, i) => {
      expect(data[i], `${name}[${i}]`).toBeCloseTo(each, 5);
    });
  }
});
