import { describe, expect, test } from "vitest";
import { countFlops } from "../../src/graph/flops.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { Graph, liveLeaves, type Value } from "../../src/graph/graph.ts";
import { int4 } from "../../src/graph/ops/linear-int4.ts";
import { int8 } from "../../src/graph/ops/linear-int8.ts";
import { tableInt8 } from "../../src/graph/ops/table-int8.ts";
import type { LinearFormat } from "../../src/graph/ops/weight-format.ts";
import { linear, lookup, mul, sumAll, tanh } from "../../src/graph/ops.ts";
import { asFloat32, float32, int32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { dequantizeGroups } from "../support/quantized.ts";
import { runtime } from "../support/runtime.ts";

const drawn = (shape: readonly number[], name: string) => normal(1)(shape, randomFor(3, name));

/** Operands of a layer: rows with an outlier, as in real models, and of zeros; a column of zeros in the weight. */
function operands(rows: number, inFeatures: number, outFeatures: number) {
  const x = drawn([rows, inFeatures], "x");
  const dy = drawn([rows, outFeatures], "dy");
  const weight = drawn([outFeatures, inFeatures], "weight");
  for (let row = 0; row < rows; row++) x.data[row * inFeatures + 1] = 14;
  for (let i = 0; i < outFeatures; i++) weight.data[i * inFeatures] = 0;
  x.data.fill(0, 0, inFeatures);
  dy.data.fill(0, (rows - 1) * outFeatures);
  return { x, dy, weight, bias: drawn([outFeatures], "bias") };
}

type Operands = ReturnType<typeof operands>;

/** Returns the layer's outputs, and the gradients of its input and bias for `dy`. */
async function run({ x, dy, weight, bias }: Operands, format: LinearFormat | undefined, biased = true) {
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const graph = new Graph();
  const leaf = (name: string, like: Pick<Tensor, "dtype" | "shape">): Value =>
    graph.leaf("frozen", name, like.dtype, like.shape);
  const parts = format?.quantize(weight) ?? { weight };
  const leaves = Object.fromEntries(Object.entries(parts).map(([part, tensor]) => [part, leaf(part, tensor)]));
  const input = graph.leaf("trainable", "x", "float32", ["rows", inFeatures]);
  const addend = graph.leaf("trainable", "bias", "float32", [outFeatures]);
  const y = linear(
    input,
    format ? { format, shape: [outFeatures, inFeatures], parts: leaves } : leaves.weight!,
    biased ? addend : undefined,
  );
  const loss = sumAll(mul(y, graph.leaf("input", "dy", "float32", ["rows", outFeatures])));
  const [dx, dBias] = gradients(loss, biased ? [input, addend] : [input]);
  const outputs: Record<string, Value> = { y, dx: dx!, ...(dBias && { dBias }) };
  const compiled = await runtime.compile(outputs, new Map(Object.entries({ ...parts, x, bias })));
  const results = await compiled.run({ dy });
  await compiled.release();
  const read = (name: string): Float32Array => asFloat32(results[name]!).data;
  const { base } = countFlops(Object.values(outputs))({ rows: x.shape[0]! });
  return { y: read("y"), dx: read("dx"), dBias: dBias && read("dBias"), flops: base, leaves: liveLeaves([y, dx!]) };
}

/** Multiplies rows `[rows, in]` by a weight `[out, in]` in double precision. */
function product(rows: Float32Array, weight: Float32Array, inFeatures: number): number[][] {
  const sum = (row: number, out: number): number => {
    let total = 0;
    for (let k = 0; k < inFeatures; k++) total += rows[row * inFeatures + k]! * weight[out * inFeatures + k]!;
    return total;
  };
  return Array.from({ length: rows.length / inFeatures }, (_, row) =>
    Array.from({ length: weight.length / inFeatures }, (_, out) => sum(row, out)),
  );
}

const transposed = ({ shape, data }: Tensor<"float32">): Tensor<"float32"> => {
  const [rows, width] = shape as [number, number];
  return float32(
    [width, rows],
    Float32Array.from(data, (_, i) => data[(i % rows) * width + Math.floor(i / rows)]!),
  );
};

const largest = (values: ArrayLike<number>): number => Array.from(values).reduce((m, v) => Math.max(m, Math.abs(v)), 0);

/** Compares up to float32's rounding. */
function expectNear(found: Float32Array, expected: number[]): void {
  const scale = largest(expected) || 1;
  expect(found).toHaveLength(expected.length);
  found.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!) / scale, String(i)).toBeLessThan(1e-5);
  });
}

describe("a float32 weight", () => {
  test("is a plain product, with gradients for all operands", async () => {
    const given = operands(5, 8, 6);
    const { y, dx, dBias, leaves } = await run(given, undefined);
    const expected = product(given.x.data, given.weight.data, 8).flatMap((row) =>
      row.map((value, out) => value + given.bias.data[out]!),
    );
    y.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 4);
    });
    expect(dx).toHaveLength(5 * 8);
    expect(dBias).toHaveLength(6);
    expect(leaves.map(({ leaf }) => leaf!.name)).toContain("weight");
  });
});

describe("a weight in 8 bits", () => {
  const halfToEven = (value: number): number => {
    const floor = Math.floor(value);
    return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
  };

  /** The result of integer arithmetic, step by step as the op defines it. */
  function exact(rows: Float32Array, weight: Tensor<"float32">, bias?: Float32Array): number[] {
    const [outFeatures, inFeatures] = weight.shape as [number, number];
    const scales = Array.from({ length: outFeatures }, (_, out) =>
      Math.fround(largest(weight.data.subarray(out * inFeatures, (out + 1) * inFeatures)) / 127 || 1),
    );
    const whole = Array.from(weight.data, (value, i) => Math.round(value / scales[Math.floor(i / inFeatures)]!));
    const results: number[] = [];
    for (let start = 0; start < rows.length; start += inFeatures) {
      const row = rows.subarray(start, start + inFeatures);
      const low = Math.min(0, ...row);
      const step = Math.fround(Math.fround(Math.max(2 ** -100, ...row) - low) / 255);
      const zero = halfToEven(Math.fround(-low / step));
      const bytes = Array.from(row, (value) =>
        Math.min(255, Math.max(0, halfToEven(Math.fround(value / step)) + zero)),
      );
      for (let out = 0; out < outFeatures; out++) {
        const sum = bytes.reduce((total, byte, k) => total + (byte - zero) * whole[out * inFeatures + k]!, 0);
        results.push(sum * step * scales[out]! + (bias?.[out] ?? 0));
      }
    }
    return results;
  }

  test.for([
    [1, 4, 3],
    [7, 32, 48],
    [65, 80, 24],
    [3, 257, 130],
  ] as const)(
    "%i rows, %i × %i: outputs and gradients equal integer arithmetic",
    async ([rows, inFeatures, outFeatures]) => {
      const given = operands(rows, inFeatures, outFeatures);
      for (const biased of [true, false]) {
        const { y, dx, dBias } = await run(given, int8, biased);
        expectNear(y, exact(given.x.data, given.weight, biased ? given.bias.data : undefined));
        expectNear(dx, exact(given.dy.data, transposed(given.weight)));
        if (biased) expectNear(dBias!, product(transposed(given.dy).data, new Float32Array(rows).fill(1), rows).flat());
      }
    },
  );

  test("differ from float32's by at most the rounding error", async () => {
    const given = operands(40, 96, 64);
    const [found, plain] = [await run(given, int8, false), await run(given, undefined, false)];
    const check = (y: Float32Array, expected: Float32Array, rows: Float32Array, weight: Tensor<"float32">): void => {
      const [outFeatures, inFeatures] = weight.shape as [number, number];
      y.forEach((value, i) => {
        const [row, out] = [Math.floor(i / outFeatures), i % outFeatures];
        const x = rows.subarray(row * inFeatures, (row + 1) * inFeatures);
        const w = weight.data.subarray(out * inFeatures, (out + 1) * inFeatures);
        // Half a step of a row; a whole one at the ends if its zero is rounded too; half a step of a weight.
        const step = (Math.max(0, ...x) - Math.min(0, ...x)) / 255;
        const half = largest(w) / 254;
        const bound = x.reduce((sum, each, k) => sum + step * (Math.abs(w[k]!) + half) + Math.abs(each) * half, 1e-4);
        expect(Math.abs(value - expected[i]!), String(i)).toBeLessThan(bound);
      });
    };
    check(found.y, plain.y, given.x.data, given.weight);
    check(found.dx, plain.dx, given.dy.data, transposed(given.weight));
    expect(found.y).not.toEqual(plain.y);
  });

  test("a row does not depend on the rest of the batch", async () => {
    const given = operands(9, 64, 32);
    const { y, dx } = await run(given, int8);
    const rowOf = (tensor: Tensor<"float32">, row: number): Tensor<"float32"> => {
      const width = tensor.shape[1]!;
      return float32([1, width], tensor.data.slice(row * width, (row + 1) * width));
    };
    for (const row of [0, 4, 8]) {
      const alone = await run({ ...given, x: rowOf(given.x, row), dy: rowOf(given.dy, row) }, int8);
      expect(alone.y).toEqual(y.slice(row * 32, (row + 1) * 32));
      expect(alone.dx).toEqual(dx.slice(row * 64, (row + 1) * 64));
    }
  });

  test("rows of zeros give the bias, and a gradient of zeros", async () => {
    const given = operands(3, 16, 8);
    const { y, dx } = await run(given, int8);
    expect(y.slice(0, 8)).toEqual(given.bias.data);
    expect(dx.slice(2 * 16)).toEqual(new Float32Array(16));
  });

  test("counts the operations of the plain product", async () => {
    const given = operands(6, 16, 8);
    expect((await run(given, int8)).flops).toEqual((await run(given, undefined, false)).flops);
  });
});

describe("a weight in 4 bits", () => {
  test("rounds each group of 32 to the nearest of -8 to 7 times its scale", () => {
    const weight = drawn([6, 64], "weight");
    weight.data.fill(0, 0, 32);
    const { packed, scales } = int4.quantize(weight);
    expect([packed.shape, scales.shape]).toEqual([[12, 16], [12]]);
    const values = dequantizeGroups(int4.quantize(weight), weight.data.length);
    weight.data.forEach((value, i) => {
      const scale = Number(scales.data[Math.floor(i / 32)]);
      const nearest = Math.min(7, Math.max(-8, Math.round(value / scale)));
      expect(Math.abs(values[i]! - Math.fround(nearest * scale)), String(i)).toBe(0);
    });
    expect(scales.data[0]).toBe(1);
  });

  test("chooses scales with less squared error than the largest magnitude gives", () => {
    const weight = drawn([40, 64], "weight");
    const values = dequantizeGroups(int4.quantize(weight), weight.data.length);
    const totals = { found: 0, plain: 0 };
    for (let start = 0; start < values.length; start += 32) {
      const own = weight.data.subarray(start, start + 32);
      const error = (numbers: ArrayLike<number>): number =>
        own.reduce((sum, value, i) => sum + (value - numbers[i]!) ** 2, 0);
      const farthest = own.reduce((most, each) => (Math.abs(each) > Math.abs(most) ? each : most), 0);
      const scale = farthest / -8;
      const plain = error(own.map((value) => Math.min(7, Math.max(-8, Math.round(value / scale))) * scale));
      const found = error(values.subarray(start, start + 32));
      expect(found).toBeLessThanOrEqual(plain * 1.0001);
      totals.found += found;
      totals.plain += plain;
    }
    expect(totals.found).toBeLessThan(0.97 * totals.plain);
  });

  test.each([
    [1, 32, 3],
    [7, 64, 48],
    [40, 48, 80],
    [3, 5, 7],
  ])("%i rows, %i × %i: equals a plain product with the dequantised weight", async (rows, inFeatures, outFeatures) => {
    const given = operands(rows, inFeatures, outFeatures);
    const weight = float32(given.weight.shape, dequantizeGroups(int4.quantize(given.weight), given.weight.data.length));
    for (const biased of [true, false]) {
      const [found, plain] = [await run(given, int4, biased), await run({ ...given, weight }, undefined, biased)];
      expectNear(found.y, Array.from(plain.y));
      expectNear(found.dx, Array.from(plain.dx));
      if (biased) expectNear(found.dBias!, Array.from(plain.dBias!));
      expect(found.flops).toEqual((await run(given, undefined, false)).flops);
    }
  });

  test("is dequantised only during the product", async () => {
    const [layers, width] = [24, 1024];
    const graph = new Graph();
    const leaf = (name: string, { dtype, shape }: Tensor): Value => graph.leaf("frozen", name, dtype, shape);
    const weights = new Map<string, Tensor>([["x", drawn([8, width], "x")]]);
    const x = graph.leaf("trainable", "x", "float32", [8, width]);
    let y = x;
    const stored = Object.entries(int4.quantize(drawn([width, width], "weight")));
    for (let layer = 0; layer < layers; layer++) {
      for (const [part, tensor] of stored) weights.set(`${layer}.${part}`, tensor);
      const parts = Object.fromEntries(stored.map(([part, tensor]) => [part, leaf(`${layer}.${part}`, tensor)]));
      y = tanh(linear(y, { format: int4, shape: [width, width], parts }));
    }
    const compiled = await runtime.compile({ dx: gradients(sumAll(y), [x])[0]! }, weights);
    const before = process.memoryUsage().rss;
    await compiled.run({});
    const grown = process.memoryUsage().rss - before;
    await compiled.release();
    expect(grown).toBeLessThan((layers * width * width * 4) / 2);
  });
});

describe("a table in 8 bits", () => {
  test("returns rows of integers times their scale, without a gradient", async () => {
    const table = drawn([20, 24], "table");
    table.data.fill(0, 0, 24);
    const { bytes, scales } = tableInt8.quantize(table);
    const graph = new Graph();
    const parts = {
      bytes: graph.leaf("frozen", "bytes", "int8", bytes.shape),
      scales: graph.leaf("frozen", "scales", "float32", scales.shape),
    };
    const indices = graph.leaf("input", "indices", "int32", ["n"]);
    const rows = lookup({ format: tableInt8, shape: [20, 24], parts }, indices);
    const compiled = await runtime.compile({ rows }, new Map(Object.entries({ bytes, scales })));
    const numbers = [3, 0, 19, 3];
    const found = asFloat32((await compiled.run({ indices: int32([4], Int32Array.from(numbers)) })).rows!);
    await compiled.release();
    expect(found.shape).toEqual([4, 24]);
    numbers.forEach((row, i) => {
      const own = table.data.subarray(row * 24, (row + 1) * 24);
      found.data.subarray(i * 24, (i + 1) * 24).forEach((value, k) => {
        expect(value).toBe(Math.fround(Number(bytes.data[row * 24 + k]) * Number(scales.data[row])));
        expect(Math.abs(value - own[k]!)).toBeLessThanOrEqual((largest(own) / 254) * 1.0001);
      });
    });
    expect(() => gradients(sumAll(rows), [parts.scales])).toThrow(/does not depend/);
  });

  test.each([
    [3, 20, 24],
    // In two pieces.
    [2, 4100, 520],
  ])(
    "%i rows, %i words × %i: is also a layer's weight, dequantised for a plain product",
    async (rows, words, width) => {
      const given = operands(rows, width, words);
      const { bytes, scales } = tableInt8.quantize(given.weight);
      const scaled = Float32Array.from(
        bytes.data as Int8Array,
        (byte, i) => byte * Number(scales.data[Math.floor(i / width)]),
      );
      for (const biased of [true, false]) {
        const found = await run(given, tableInt8, biased);
        const plain = await run({ ...given, weight: float32([words, width], scaled) }, undefined, biased);
        expectNear(found.y, Array.from(plain.y));
        expectNear(found.dx, Array.from(plain.dx));
        if (biased) expectNear(found.dBias!, Array.from(plain.dBias!));
        expect(found.flops).toEqual(plain.flops);
      }
    },
  );
});
