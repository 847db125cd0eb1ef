import { describe, expect, test } from "vitest";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { lora } from "../../src/methods/lora.ts";
import { findMethod } from "../../src/methods/methods.ts";
import { changeAsLora, principalParameters, principalPart } from "../../src/methods/pissa.ts";
import { largestSingularValues } from "../../src/methods/singular-values.ts";
import { Bench, batches, layersOf, openFixture, relativeError, smallBert } from "../support/small-bert.ts";

const drawn = (...shape: readonly number[]): Tensor<"float32"> => normal(1)(shape, randomFor(4, "matrix"));

/** Product of `left` and `right` in double precision. */
function product(left: Tensor<"float32">, right: Tensor<"float32">): Tensor<"float32"> {
  const [rows, inner] = left.shape as [number, number];
  const width = right.shape[1]!;
  const result = float32([rows, width]);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < width; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += left.data[i * inner + k]! * right.data[k * width + j]!;
      result.data[i * width + j] = sum;
    }
  }
  return result;
}

describe("the largest singular values", () => {
  test.each([
    [60, 40],
    [40, 60],
    [50, 50],
    [1, 9],
  ])("of a matrix [%i, %i] come with their vectors, falling", (rows, width) => {
    const matrix = drawn(rows, width);
    const count = Math.min(5, rows);
    const found = largestSingularValues(matrix, count);
    expect(found).toHaveLength(count);
    const [first] = found;
    found.forEach(({ value, left, right }, i) => {
      if (i > 0) expect(value).toBeLessThanOrEqual(found[i - 1]!.value);
      // W v = σ u and Wᵀ u = σ v.
      left.forEach((each, row) => {
        const along = right.reduce((sum, v, column) => sum + v * matrix.data[row * width + column]!, 0);
        expect(Math.abs(along - value * each)).toBeLessThan(2e-6 * first!.value);
      });
      right.forEach((each, column) => {
        const along = left.reduce((sum, u, row) => sum + u * matrix.data[row * width + column]!, 0);
        expect(Math.abs(along - value * each)).toBeLessThan(2e-6 * first!.value);
      });
      found.forEach((other, j) => {
        for (const side of ["left", "right"] as const) {
          const overlap = found[i]![side].reduce((sum, each, place) => sum + each * other[side][place]!, 0);
          expect(Math.abs(overlap - Number(i === j))).toBeLessThan(1e-9);
        }
      });
    });
  });

  test("all of them reconstruct the matrix, whichever side is shorter", () => {
    for (const shape of [
      [7, 12],
      [12, 7],
    ] as const) {
      const matrix = drawn(...shape);
      const { A, B } = principalPart(matrix, 7, 1);
      expect(relativeError(product(B, A), matrix)).toBeLessThan(1e-6);
    }
  });

  test("have errors up to the tolerance, for which fewer products with the matrix suffice", () => {
    const matrix = drawn(60, 40);
    const valuesTo = (tolerance?: number) => largestSingularValues(matrix, 2, tolerance).map(({ value }) => value);
    const errors = valuesTo(0.1).map((value, i) => Math.abs(value / valuesTo()[i]! - 1));
    expect(Math.max(...errors)).toBeLessThan(0.1);
    expect(Math.max(...errors)).toBeGreaterThan(1e-5);
  });

  test("of a matrix times 1000 are 1000 times as large", () => {
    const matrix = drawn(12, 8);
    const large = largestSingularValues({ ...matrix, data: matrix.data.map((value) => 1000 * value) }, 8);
    largestSingularValues(matrix, 8).forEach(({ value }, i) => {
      expect(large[i]!.value / value).toBeCloseTo(1000, 2);
    });
  });

  test("may be equal in groups", () => {
    const diagonal = float32([6, 6]);
    [3, 1, 3, 2, 1, 2].forEach((value, i) => {
      diagonal.data[7 * i] = value;
    });
    const values = largestSingularValues(diagonal, 6).map(({ value }) => value);
    [3, 3, 2, 2, 1, 1].forEach((value, i) => {
      expect(values[i]).toBeCloseTo(value, 9);
    });
  });

  test("works for a matrix of zeros, of rank 1, and the identity, whose values are all equal", () => {
    expect(largestSingularValues(float32([6, 4]), 2).map(({ value }) => value)).toEqual([0, 0]);
    const one = product(drawn(6, 1), drawn(1, 4));
    const [first, second] = largestSingularValues(one, 2);
    expect(first!.value).toBeCloseTo(Math.hypot(...one.data), 5);
    expect(second!.value).toBeLessThan(1e-5);
    const identity = float32([5, 5]);
    for (let i = 0; i < 5; i++) identity.data[6 * i] = 1;
    for (const { value } of largestSingularValues(identity, 5)) expect(value).toBeCloseTo(1, 12);
  });

  test("have vectors in any direction if the matrix has none", () => {
    const { left } = largestSingularValues(float32([2000, 1]), 1)[0]!;
    expect(Math.hypot(...left)).toBeCloseTo(1, 12);
    // Numbers are evenly drawn between -b and b: half are positive, and b² is three times their mean square.
    const positive = left.filter((each) => each > 0).length;
    expect(Math.abs(positive - 1000)).toBeLessThan(4 * Math.sqrt(500));
    expect(Math.max(...left.map(Math.abs))).toBeCloseTo(Math.sqrt(3 / 2000), 2);
  });
});

describe("a model with PiSSA", () => {
  const options = { rank: 4, alpha: 8, initLoraWeights: "pissa" };

  test("starts with the products B A of peft's full decomposition, whose copies do not train", async () => {
    const base = await smallBert();
    const adaptation = lora.adapt(lora.options.parse(options), layersOf(base));
    const { weights } = new Bench(base, adaptation);
    const tensors = await openFixture("methods/pissa.safetensors");
    for (const { name } of layersOf(base)) {
      const [A, B] = [await tensors.read(`initial.${name}.A`), await tensors.read(`initial.${name}.B`)];
      const expected = product(B as Tensor<"float32">, A as Tensor<"float32">);
      for (const place of ["", "0"]) {
        const found = product(weights.get(`${name}.B${place}`)!, weights.get(`${name}.A${place}`)!);
        expect(relativeError(found, expected), name).toBeLessThan(1e-5);
      }
      expect([adaptation.trainable.has(`${name}.A`), adaptation.trainable.has(`${name}.A0`)]).toEqual([true, false]);
    }
  });

  test.each([options, { ...options, useDora: true }])(
    "%j starts as the base model, except for rounding errors",
    async (given) => {
      const base = await smallBert();
      const expected = await Bench.create(base, findMethod("head")).logits(batches[0]!);
      const found = await Bench.create(base, findMethod("lora"), given).logits(batches[0]!);
      expect(relativeError({ data: found }, { data: expected })).toBeLessThan(1e-5);
    },
  );
});

test("as LoRA, the change of the copies has twice the rank, which may be all of the layer's", () => {
  const module = { name: "layer", role: "ffn", block: 0, inFeatures: 6, outFeatures: 4 } as const;
  const parts = (rank: number) => ({ A: drawn(rank, 6), B: drawn(4, rank), A0: drawn(rank, 6), B0: drawn(4, rank) });
  // Drawn matrices of one shape are equal.
  const given = { ...parts(2), A0: float32([2, 6], drawn(4, 6).data.slice(12)) };
  const { rank, A, B } = changeAsLora(module, given);
  expect(rank).toBe(4);
  const start = product(given.B0, given.A0).data;
  const change = product(given.B, given.A).data.map((value, i) => value - start[i]!);
  expect(relativeError(product(B, A), { data: change })).toBeLessThan(1e-6);
  expect(() => changeAsLora(module, parts(3))).toThrow(
    /PiSSA of rank 3 has rank 6, which exceeds that of layer "layer"/,
  );
});

test("with LoRA+, only B learns at its own rate", () => {
  const module = { name: "layer", role: "ffn", block: 0, inFeatures: 6, outFeatures: 4 } as const;
  const rates = principalParameters(module, 2, 1, 16).map(({ name, rateFactor, decays }) => [name, rateFactor, decays]);
  expect(rates).toEqual([
    ["layer.A", undefined, false],
    ["layer.B", 16, false],
    ["layer.A0", undefined, false],
    ["layer.B0", 16, false],
  ]);
});
