import { expect, test } from "vitest";
import { Graph } from "../../src/graph/graph.ts";
import { onnxModel } from "../../src/graph/onnx.ts";
import { modelBytes } from "../../src/graph/onnx-model.ts";
import { q4_1 } from "../../src/graph/ops/blocks-q4.ts";
import { q8_0 } from "../../src/graph/ops/blocks-q8.ts";
import { linear } from "../../src/graph/ops/linear.ts";
import { int4 } from "../../src/graph/ops/linear-int4.ts";
import { int8 } from "../../src/graph/ops/linear-int8.ts";
import { tableInt8 } from "../../src/graph/ops/table-int8.ts";
import type { LayerFormat, LinearFormat } from "../../src/graph/ops/weight-format.ts";
import { asFloat32, float32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { runtime } from "../support/runtime.ts";
import { relativeError } from "../support/small-bert.ts";

const OUT = 48;
type Parts = Record<string, Tensor>;
const dequantized =
  (format: LayerFormat) =>
  (parts: Parts, width: number): Float32Array =>
    format.dequantize(parts, [OUT, width]).data;
const FORMATS: Record<string, { format: LinearFormat; numbers: (parts: Parts, width: number) => Float32Array }> = {
  int8: {
    format: int8,
    numbers: ({ forward, forwardScales }, width) =>
      Float32Array.from({ length: OUT * width }, (_, i) => {
        const [row, column] = [Math.floor(i / width), i % width];
        return Number(forward!.data[column * OUT + row]) * Number(forwardScales!.data[row]);
      }),
  },
  int4: {
    format: int4,
    numbers: ({ packed, scales }, width) =>
      Float32Array.from({ length: OUT * width }, (_, i) => {
        const [group, at] = [Math.floor(i / 32), i % 32];
        const byte = Number(packed!.data[group * 16 + (at % 16)]);
        return ((at < 16 ? byte & 15 : byte >> 4) - 8) * Number(scales!.data[group]);
      }),
  },
  q8_0: { format: q8_0, numbers: dequantized(q8_0) },
  q4_1: { format: q4_1, numbers: dequantized(q4_1) },
  tableInt8: {
    format: tableInt8,
    numbers: ({ bytes, scales }, width) =>
      Float32Array.from(bytes!.data as Int8Array, (byte, i) => byte * Number(scales!.data[Math.floor(i / width)])),
  },
};

/** A layer `[OUT, width]` in a format, and rows for it. */
function layerOf(format: LinearFormat, width: number, hasBias: boolean) {
  const graph = new Graph();
  const parts = format.quantize(normal(0.3)([OUT, width], randomFor(1, "weight")));
  const leaves = Object.entries(parts).map(([part, { dtype, shape }]) => {
    return [part, graph.leaf("frozen", part, dtype, [...shape])] as const;
  });
  const x = graph.leaf("input", "x", "float32", ["rows", width]);
  const bias = hasBias ? graph.leaf("frozen", "bias", "float32", [OUT]) : undefined;
  const y = linear(x, { format, shape: [OUT, width], parts: Object.fromEntries(leaves) }, bias);
  const weights = new Map<string, Tensor>(Object.entries(parts));
  if (hasBias) weights.set("bias", normal(1)([OUT], randomFor(2, "bias")));
  return { outputs: { y }, weights, rows: normal(1)([5, width], randomFor(3, "rows")) };
}

async function answerOf({ outputs, weights, rows }: ReturnType<typeof layerOf>, answers: boolean) {
  const compiled = await runtime.compile(outputs, weights, { answers });
  const { y } = await compiled.run({ x: rows });
  await compiled.release();
  return asFloat32(y!);
}

/** `x Wᵀ + bias` with the stored numbers of the layer. */
function exactly({ weights, rows }: ReturnType<typeof layerOf>, numbers: Float32Array) {
  const [count, width] = rows.shape as [number, number];
  const bias = weights.get("bias")?.data ?? [];
  const y = Array.from({ length: count * OUT }, (_, i) => {
    const [row, out] = [Math.floor(i / OUT), i % OUT];
    let sum = Number(bias[out] ?? 0);
    for (let k = 0; k < width; k++) sum += rows.data[row * width + k]! * numbers[out * width + k]!;
    return sum;
  });
  return float32([count, OUT], Float32Array.from(y));
}

for (const [name, { format, numbers }] of Object.entries(FORMATS)) {
  for (const hasBias of [false, true]) {
    test(`${name}${hasBias ? ", with a bias" : ""}: an inference graph multiplies by the stored numbers`, async () => {
      const layer = layerOf(format, 96, hasBias);
      const exact = exactly(layer, numbers(Object.fromEntries(layer.weights), 96));
      // Rows are rounded to 8 bits: a step is about a hundredth of their range.
      expect(relativeError(await answerOf(layer, true), exact)).toBeLessThan(0.01);
      const bytes = modelBytes(onnxModel(layer.outputs, { embedded: layer.weights, packs: true }).model);
      expect(Buffer.from(bytes).includes("MatMulNBits")).toBe(true);
      // A packed weight is not stored twice.
      const matrix = Object.values(layer.weights.get(Object.keys(format.parts(OUT, 96))[0]!)!.data);
      expect(Buffer.from(bytes).includes(Buffer.from(matrix.map(Number)))).toBe(false);
    });
  }

  test.runIf(format.takes?.(40) !== false)(
    `${name}: rows that are not whole groups of 32 use the unpacked form`,
    async () => {
      const layer = layerOf(format, 40, true);
      expect(await answerOf(layer, true)).toEqual(await answerOf(layer, false));
    },
  );
}

test("products and look-ups share a prepacked table", () => {
  const graph = new Graph();
  const table = tableInt8.quantize(normal(1)([OUT, 64], randomFor(1, "table")));
  const parts = {
    bytes: graph.leaf("frozen", "bytes", "int8", [OUT, 64]),
    scales: graph.leaf("frozen", "scales", "float32", [OUT, 1]),
  };
  const rows = tableInt8.lookup(parts, graph.leaf("input", "ids", "int32", ["rows"]));
  const { inputs } = onnxModel(
    { y: tableInt8.linear(rows, parts, [OUT, 64]) },
    { embedded: new Map(Object.entries(table)), packs: true },
  );
  expect(inputs.map(({ leaf }) => leaf!.name)).toEqual(["ids"]);
});

test("a vocabulary that is prepacked in parts gives every word its score", async () => {
  const [words, width] = [2 ** 20 + 5, 32];
  const bytes = new Int8Array(words * width);
  for (let i = 0; i < bytes.length; i++) bytes[i] = ((i * 7919) % 255) - 127;
  const scales = new Float32Array(words).map((_, word) => 1 + (word % 3));
  const weights = new Map<string, Tensor>([
    ["bytes", { dtype: "int8", shape: [words, width], data: bytes }],
    ["scales", float32([words, 1], scales)],
    [
      "bias",
      float32(
        [words],
        new Float32Array(words).map((_, word) => word % 1000),
      ),
    ],
  ]);
  const graph = new Graph();
  const leaf = (name: string) => graph.leaf("frozen", name, weights.get(name)!.dtype, [...weights.get(name)!.shape]);
  const x = graph.leaf("input", "x", "float32", [1, width]);
  const parts = { bytes: leaf("bytes"), scales: leaf("scales") };
  const y = linear(x, { format: tableInt8, shape: [words, width], parts }, leaf("bias"));
  // Integers up to 127 are exact.
  const row = Float32Array.from({ length: width }, (_, i) => (i === 0 ? 127 : i - 16));
  const scores = await answerOf({ outputs: { y }, weights, rows: float32([1, width], row) }, true);
  expect(scores.shape).toEqual([1, words]);
  for (const word of [0, words >> 1, (words >> 1) + 1, words - 1]) {
    const products = row.map((value, i) => value * bytes[word * width + i]! * scales[word]!);
    expect(scores.data[word]).toBeCloseTo(products.reduce((sum, each) => sum + each) + (word % 1000), 1);
  }
});
