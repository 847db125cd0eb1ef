import { InferenceSession, Tensor } from "onnxruntime-node";
import { expect, test } from "vitest";
import { quantizeOnnx } from "../../../src/export/onnx/quantize.ts";
import { Graph } from "../../../src/graph/graph.ts";
import { onnxModel } from "../../../src/graph/onnx.ts";
import { modelBytes, type OnnxModel } from "../../../src/graph/onnx-model.ts";
import { gemm, lookup } from "../../../src/graph/ops.ts";
import { quantizeGroups, quantizeMatrix } from "../../../src/graph/quantize.ts";
import { normal, randomFor } from "../../../src/methods/initializers.ts";

// No whole number of groups of 32.
const [WORDS, WIDTH, INNER] = [2048, 40, 72];
const drawn = (shape: number[], name: string) => normal(1)(shape, randomFor(1, name));
const [table, linear, bias] = [drawn([WORDS, WIDTH], "table"), drawn([INNER, WIDTH], "linear"), drawn([INNER], "bias")];

/** Words looked up, through a layer, and multiplied with the table again. */
function encoded(): OnnxModel {
  const graph = new Graph();
  const words = graph.leaf("frozen", "table", "float32", [WORDS, WIDTH]);
  const rows = lookup(words, graph.leaf("input", "ids", "int32", ["tokens"]));
  const weight = graph.leaf("frozen", "linear", "float32", [INNER, WIDTH]);
  const inner = gemm(rows, weight, { transB: true, addend: graph.leaf("frozen", "bias", "float32", [INNER]) });
  return onnxModel(
    { rows, inner, scores: gemm(rows, words, { transB: true }) },
    { embedded: new Map(Object.entries({ table, linear, bias })) },
  ).model;
}

async function run(model: OnnxModel, ids: number[]): Promise<Record<string, Float32Array>> {
  const session = await InferenceSession.create(modelBytes(model));
  const found = await session.run({ ids: new Tensor("int32", Int32Array.from(ids), [ids.length]) });
  await session.release();
  return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data as Float32Array]));
}

/** A matrix as it is after rounding, each row filled up to whole groups. */
function rounded(values: Float32Array, bits: 4 | 8): Float32Array {
  const groups = Math.ceil(WIDTH / 32) * 32;
  const back = new Float32Array(values.length);
  for (let row = 0; row < values.length / WIDTH; row++) {
    const filled = new Float32Array(groups);
    filled.set(values.subarray(row * WIDTH, (row + 1) * WIDTH));
    const { packed, scales } = quantizeGroups(filled);
    const bytes = quantizeMatrix(filled, 32);
    for (let i = 0; i < WIDTH; i++) {
      const [group, place] = [i >> 5, i % 32];
      const byte = packed[16 * group + (place % 16)]!;
      back[row * WIDTH + i] =
        bits === 4
          ? scales[group]! * ((place < 16 ? byte & 15 : byte >> 4) - 8)
          : bytes.scales[group]! * bytes.values[i]!;
    }
  }
  return back;
}

const product = (x: Float32Array, weight: Float32Array, added?: Float32Array): Float32Array => {
  const outputs = weight.length / WIDTH;
  return Float32Array.from({ length: (x.length / WIDTH) * outputs }, (_, i) => {
    const [row, output] = [Math.floor(i / outputs), i % outputs];
    let sum = added?.[output] ?? 0;
    for (let k = 0; k < WIDTH; k++) sum += x[row * WIDTH + k]! * weight[output * WIDTH + k]!;
    return sum;
  });
};

const NAMES = { linear: new Set(["linear"]), tables: new Set(["table"]) };
const IDS = [0, 7, 2047, 7];

test("q4 computes with the rounded weights: a table that is looked up and multiplied with has 8 bits", async () => {
  const small = quantizeOnnx(encoded(), NAMES, "q4");
  const found = await run(small, IDS);
  const words = rounded(table.data, 8);
  const rows = Float32Array.from(IDS.flatMap((id) => [...words.subarray(id * WIDTH, (id + 1) * WIDTH)]));
  const expected = {
    rows,
    inner: product(rows, rounded(linear.data, 4), bias.data),
    scores: product(rows, words),
  };
  for (const [name, values] of Object.entries(expected)) {
    expect(found[name]!.length, name).toBe(values.length);
    const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - found[name]![i]!)), 0);
    expect(worst, name).toBeLessThan(1e-4);
  }
  // Rows of 40 take two groups of 36 bytes in place of 160.
  expect(modelBytes(small).length).toBeLessThan(0.55 * modelBytes(encoded()).length);
});

test("q8 quantizes a table in groups if it is multiplied with, otherwise by rows", async () => {
  const [whole, small] = [encoded(), quantizeOnnx(encoded(), NAMES, "q8")];
  const [expected, tied] = [await run(whole, IDS), await run(small, IDS)];
  const words = rounded(table.data, 8);
  const rows = Float32Array.from(IDS.flatMap((id) => [...words.subarray(id * WIDTH, (id + 1) * WIDTH)]));
  for (const [name, values] of Object.entries({ rows, scores: product(rows, words) })) {
    const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - tied[name]![i]!)), 0);
    expect(worst, name).toBeLessThan(1e-4);
  }
  expect(tied.inner).not.toEqual(expected.inner);
  // Two products of a byte and a number up to 64 do not overflow 16 bits.
  const inBytes = small.weights.find(({ tensors }) => tensors[0]!.name === "linear:int8")!.make()[0] as Int8Array;
  expect(Math.max(...inBytes.map(Math.abs))).toBe(64);
  expect(modelBytes(small).length).toBeLessThan(0.55 * modelBytes(whole).length);

  const graph = new Graph();
  const lookedUp = lookup(
    graph.leaf("frozen", "table", "float32", [WORDS, WIDTH]),
    graph.leaf("input", "ids", "int32", ["tokens"]),
  );
  const { model } = onnxModel({ rows: lookedUp }, { embedded: new Map([["table", table]]) });
  const byRows = quantizeOnnx(model, { linear: new Set(), tables: new Set(["table"]) }, "q8");
  expect(modelBytes(byRows).length).toBeLessThan(0.3 * modelBytes(model).length);
  const found = await run(byRows, IDS);
  found.rows!.forEach((value, i) => {
    expect(Math.abs(value - expected.rows![i]!)).toBeLessThan(0.02);
  });
});

test.each(["q4", "q8"] as const)("%s leaves a small table and a large weight of no known layer as they are", (type) => {
  const graph = new Graph();
  const few = drawn([64, WIDTH], "few");
  const words = graph.leaf("frozen", "few", "float32", few.shape);
  const rows = lookup(words, graph.leaf("input", "ids", "int32", ["tokens"]));
  const head = graph.leaf("frozen", "head", "float32", table.shape);
  const { model } = onnxModel(
    { scores: gemm(rows, words, { transB: true }), labels: gemm(rows, head, { transB: true }) },
    { embedded: new Map(Object.entries({ few, head: table })) },
  );
  const names = { linear: new Set<string>(), tables: new Set(["few"]) };
  expect(quantizeOnnx(model, names, type)).toEqual(model);
});
