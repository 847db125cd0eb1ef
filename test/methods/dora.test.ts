import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/graph/graph.ts";
import { int4 } from "../../src/graph/ops/linear-int4.ts";
import { int8 } from "../../src/graph/ops/linear-int8.ts";
import type { LayerFormat } from "../../src/graph/ops/weight-format.ts";
import { gemm, linear } from "../../src/graph/ops.ts";
import { asFloat32, float32, type Tensor } from "../../src/graph/tensor.ts";
import { decomposed, rowNorms } from "../../src/methods/dora.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { lora } from "../../src/methods/lora.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { writeInference } from "../../src/training/step-graph.ts";
import { dequantizeGroups } from "../support/quantized.ts";
import { runtime } from "../support/runtime.ts";
import { Bench, batches, layersOf, openFixture, smallBert } from "../support/small-bert.ts";

const drawn = (shape: readonly number[], name: string): Tensor<"float32"> => normal(1)(shape, randomFor(9, name));
const [IN, OUT, RANK, ROWS, SCALE] = [64, 24, 3, 5, 0.5];

describe("DoRA's layer (arXiv 2402.09353, equation 5)", () => {
  const given = {
    x: drawn([ROWS, IN], "x"),
    W: drawn([OUT, IN], "W"),
    bias: drawn([OUT], "bias"),
    A: drawn([RANK, IN], "A"),
    B: drawn([OUT, RANK], "B"),
    m: drawn([OUT], "m"),
  };

  /** The formula with a double-precision weight, row by row. */
  function plain(W: Tensor<"float32">): number[][] {
    const { x, bias, A, B, m } = given;
    const rows = Array.from({ length: OUT }, (_, i) =>
      Array.from({ length: IN }, (_, j) => {
        let change = 0;
        for (let k = 0; k < RANK; k++) change += B.data[i * RANK + k]! * A.data[k * IN + j]!;
        return W.data[i * IN + j]! + SCALE * change;
      }),
    );
    return Array.from({ length: ROWS }, (_, token) =>
      rows.map((row, i) => {
        const product = row.reduce((sum, weight, j) => sum + weight * x.data[token * IN + j]!, 0);
        return (m.data[i]! / Math.hypot(...row)) * product + bias.data[i]!;
      }),
    );
  }

  const formats: [string, LayerFormat | undefined, number][] = [
    ["float32", undefined, 1e-5],
    ["int4", int4, 1e-5],
    // The products round the rows that they read.
    ["int8", int8, 0.05],
  ];
  test.for(formats)("with a weight in %s", async ([, format, tolerance]) => {
    const parts: Record<string, Tensor> = format?.quantize(given.W) ?? { W: given.W };
    const W = format ? format.dequantize(parts, [OUT, IN]) : given.W;
    const graph = new Graph();
    const leaf = (key: string, { dtype, shape }: Tensor): Value => graph.leaf("frozen", key, dtype, shape);
    const stored = Object.fromEntries(Object.entries(parts).map(([part, tensor]) => [part, leaf(part, tensor)]));
    const weight = format ? { format, shape: [OUT, IN] as const, parts: stored } : stored.W!;
    const [x, bias, A, B] = (["x", "bias", "A", "B"] as const).map((key) => leaf(key, given[key])) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const layer = (input: Value): Value => linear(input, weight, bias);
    const sum = gemm(gemm(x, A, { transB: true }), B, { transB: true, alpha: SCALE, addend: layer(x) });
    const baseNorms = rowNorms(W);
    const y = decomposed({
      sum,
      layer,
      A,
      B,
      scale: SCALE,
      magnitude: leaf("m", given.m),
      baseNorms: leaf("m0", baseNorms),
    });
    const compiled = await runtime.compile({ y }, new Map(Object.entries({ ...parts, ...given, m0: baseNorms })));
    const found = asFloat32((await compiled.run({})).y!).data;
    await compiled.release();
    const expected = plain(W).flat();
    const largest = Math.max(...expected.map(Math.abs));
    expected.forEach((value, i) => {
      expect(Math.abs(value - found[i]!)).toBeLessThan(tolerance * largest);
    });
  });

  test("a weight stored in fewer bits is read with the values that products use", () => {
    const packed = int4.quantize(given.W);
    expect(int4.dequantize(packed, [OUT, IN]).data).toEqual(dequantizeGroups(packed, OUT * IN));
    const bytes = int8.quantize(given.W);
    const read = int8.dequantize(bytes, [OUT, IN]).data;
    for (let i = 0; i < OUT; i++) {
      // Bytes are stored as `[in, out]`.
      const row = Array.from({ length: IN }, (_, j) => bytes.forward.data[j * OUT + i] as number);
      const scale = asFloat32(bytes.forwardScales).data[i]!;
      expect([...read.subarray(i * IN, (i + 1) * IN)]).toEqual(row.map((byte) => Math.fround(byte * scale)));
      row.forEach((_, j) => {
        expect(Math.abs(read[i * IN + j]! - given.W.data[i * IN + j]!)).toBeLessThanOrEqual(0.501 * scale);
      });
    }
  });
});

describe("a model with DoRA", () => {
  const options = lora.options.parse({ rank: 4, alpha: 8, useDora: true, adapterDropout: 0.5 });

  test("starts with peft's row norms, which train without decay; those of the base do not train", async () => {
    const base = await smallBert();
    const adaptation = lora.adapt(options, layersOf(base));
    const { weights } = new Bench(base, adaptation);
    const tensors = await openFixture("methods/dora.safetensors");
    const own = adaptation.parameters.filter(({ name }) => /\.m0?$/.test(name));
    expect(own).toHaveLength(2 * layersOf(base).length);
    for (const { name, decays, ofBase = false } of own) {
      const expected = await tensors.read(`initial.${name.replace(/0$/, "")}`);
      weights.get(name)!.data.forEach((value, i) => {
        expect(Math.abs(value - expected.data[i]!)).toBeLessThan(1e-6);
      });
      expect(decays).toBe(false);
      expect(adaptation.trainable.has(name)).toBe(name.endsWith(".m"));
      // A folder with the adapter does not keep these: each base that it is loaded on has its own.
      expect(ofBase).toBe(name.endsWith(".m0"));
    }
  });

  test("dropout of an adapter's input does not affect the layer's output for A", async () => {
    const bench = new Bench(await smallBert(), lora.adapt(options, layersOf(await smallBert())));
    await bench.load(await openFixture("methods/dora.safetensors"), "point");
    const rows = batches[0]!;
    const expected = await bench.logits(rows);
    const { outputs, streams, dropouts } = writeInference(bench.model, { dropout: true });
    const graph = await runtime.compile(outputs, bench.weights);
    const encoded = rows.map(({ inputIds, tokenTypeIds }, index) => ({
      index,
      encoding: { inputIds: Int32Array.from(inputIds), tokenTypeIds: Int32Array.from(tokenTypeIds) },
    }));
    const { inputs, sizes } = layOut(streams, encoded);
    // Masks of ones drop nothing.
    const ones = dropouts.map(({ input, shape }) => {
      const known = shape.map((size) => (typeof size === "number" ? size : sizes[size]!));
      const data = new Float32Array(known.reduce((product, size) => product * size, 1)).fill(1);
      return [input, float32(known, data)] as const;
    });
    expect(ones.length).toBeGreaterThan(layersOf(await smallBert()).length);
    const { logits } = await graph.run({ ...inputs, ...Object.fromEntries(ones) });
    await graph.release();
    asFloat32(logits!).data.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5);
    });
  });
});
