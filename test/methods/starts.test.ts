import { describe, expect, test } from "vitest";
import type { LinearModule } from "../../src/architectures/model-parts.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { aflora } from "../../src/methods/aflora.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { lora } from "../../src/methods/lora.ts";
import { product, transposed } from "../../src/methods/matrix.ts";
import type { MethodStart } from "../../src/methods/method.ts";
import { startingProjections, usualSingularValue } from "../../src/methods/starts/starts.ts";

const [ROWS, WIDTH, RANK] = [9, 7, 2];
const module: LinearModule = { name: "layer", role: "ffn", block: 0, inFeatures: WIDTH, outFeatures: ROWS };
const drawn = (name: string, ...shape: number[]): Tensor<"float32"> => normal(1)(shape, randomFor(2, name));
const weight = drawn("weight", ROWS, WIDTH);
/** A gradient of rank 2, and inputs that vary along two directions. */
const [outputs, inputs] = [drawn("outputs", ROWS, RANK), drawn("inputs", RANK, WIDTH)];

/** Numbers of examples that gradients and inputs were asked of. */
const counts: number[] = [];
const from: MethodStart = {
  seed: 1,
  hasTellingGradients: true,
  weightOf: () => weight,
  async *gradients(_, count) {
    counts.push(count);
    yield { module, gradient: product(outputs, inputs) };
  },
  async *inputs(_, count) {
    counts.push(count);
    yield { module, products: product(transposed(inputs), inputs) };
  },
};

const startFrom = async (start: "weights" | "activations" | "gradients", lengths = { A: 1, B: 1 }) => {
  const projections = await startingProjections(start, [module], RANK, from, () => lengths);
  return { A: projections.get("layer.A")!, B: projections.get("layer.B")! };
};

/** How much of `matrix [rows, width]` is left without its part in the span of the orthonormal rows of `basis [rank, width]`. */
function remainder(matrix: Tensor<"float32">, basis: Tensor<"float32">): number {
  const within = product(product(matrix, transposed(basis)), basis);
  return Math.hypot(...matrix.data.map((value, i) => value - within.data[i]!)) / Math.hypot(...matrix.data);
}

/** A matrix whose rows `[rank, width]` have length 1. */
const unitRows = ({ shape, data }: Tensor<"float32">): Tensor<"float32"> => {
  const lengths = Array.from({ length: RANK }, (_, row) => Math.hypot(...data.slice(row * WIDTH, (row + 1) * WIDTH)));
  return float32(
    shape,
    data.map((value, i) => value / lengths[Math.floor(i / WIDTH)]!),
  );
};

const identity = float32([RANK, RANK], Float32Array.of(1, 0, 0, 1));
const expectIdentity = ({ data }: Tensor<"float32">): void =>
  data.forEach((value, i) => {
    expect(value).toBeCloseTo(identity.data[i]!, 5);
  });

describe("projections that start from data", () => {
  test("tell how many layers are done, random ones nothing", async () => {
    const told: string[] = [];
    const heard = { ...from, onLayer: (done: number, total: number) => void told.push(`${done} of ${total}`) };
    for (const start of ["random", "gradients"] as const) {
      await startingProjections(start, [module], RANK, heard, () => ({ A: 1, B: 1 }));
    }
    expect(told).toEqual(["0 of 1", "1 of 1"]);
  });

  test.each(["weights", "activations", "gradients"] as const)("%s: sides are orthonormal", async (start) => {
    const { A, B } = await startFrom(start);
    expectIdentity(product(A, transposed(A)));
    expectIdentity(product(transposed(B), B));
  });

  test("from gradients, they span the inputs and the outputs of the gradient", async () => {
    const { A, B } = await startFrom("gradients");
    expect(remainder(inputs, A)).toBeLessThan(1e-5);
    expect(remainder(transposed(outputs), transposed(B))).toBeLessThan(1e-5);
  });

  test("from activations, they span the layer's inputs, and the outputs that the weight maps them to", async () => {
    const { A, B } = await startFrom("activations");
    expect(remainder(inputs, A)).toBeLessThan(1e-5);
    expect(remainder(transposed(product(weight, transposed(inputs))), transposed(B))).toBeLessThan(1e-5);
  });

  test("gradients and activations are those of 48 training examples (docs/other-methods.md)", async () => {
    counts.length = 0;
    for (const start of ["weights", "activations", "gradients"] as const) await startFrom(start);
    expect(counts).toEqual([48, 48]);
  });

  test("lengths of rows of A and columns of B are those asked for", async () => {
    const { A, B } = await startFrom("weights", { A: 3, B: 0.5 });
    expect(product(A, transposed(A)).data[0]).toBeCloseTo(9, 5);
    expect(product(transposed(B), B).data[3]).toBeCloseTo(0.25, 5);
  });

  test("random values need nothing from the model", async () => {
    expect(await startingProjections("random", [module], RANK, from, () => ({ A: 1, B: 1 }))).toEqual(new Map());
  });

  test.each(["kaiming", "pissa"])(
    "LoRA's start %s needs nothing from the training examples",
    async (initLoraWeights) => {
      const options = lora.options.parse({ rank: RANK, initLoraWeights });
      counts.length = 0;
      expect(await lora.start!(options, lora.adapt(options, [module]), from)).toEqual(new Map());
      expect(counts).toEqual([]);
    },
  );

  test("AFLoRA's start from gradients if the head was fitted, and at random otherwise", async () => {
    const options = aflora.options.parse({ rank: RANK });
    const adaptation = aflora.adapt(options, [module]);
    const started = async (hasTellingGradients: boolean) =>
      aflora.start!(options, adaptation, { ...from, hasTellingGradients });
    const projections = await started(true);
    expect(remainder(inputs, unitRows(projections.get("layer.A")!))).toBeLessThan(1e-5);
    // Mean squares of random values are 2 / columns: rows of A have a squared length of 2, columns of B of 2 · 9 / 2.
    expect(Math.hypot(...projections.get("layer.A")!.data)).toBeCloseTo(Math.sqrt(RANK * 2), 5);
    expect(Math.hypot(...projections.get("layer.B")!.data)).toBeCloseTo(Math.sqrt(RANK * ROWS), 5);
    expect(await started(false)).toEqual(new Map());
  });
});

test("a matrix whose singular values are equal has the usual one", () => {
  expect(usualSingularValue(float32([2, 3], Float32Array.of(3, 0, 0, 0, 3, 0)))).toBeCloseTo(3, 12);
});
