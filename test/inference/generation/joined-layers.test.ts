import { expect, test } from "vitest";
import { type BaseFormat, dequantizedWeight, quantizeWeight } from "../../../src/architectures/base-format.ts";
import type { LinearModule, WeightSpec } from "../../../src/architectures/model-parts.ts";
import { Graph } from "../../../src/graph/graph.ts";
import type { Tensor, Tensors } from "../../../src/graph/tensor.ts";
import { JoinedLayers } from "../../../src/inference/generation/joined-layers.ts";
import { normal, randomFor } from "../../../src/methods/initializers.ts";
import { lora } from "../../../src/methods/lora.ts";
import type { Adaptation } from "../../../src/methods/method.ts";
import { vera } from "../../../src/methods/vera.ts";
import type { AdaptedModel } from "../../../src/training/step-graph.ts";
import { runtime } from "../../support/runtime.ts";

const WIDTH = 64;
const moduleOf = (name: string, outFeatures: number): LinearModule => ({
  name,
  role: "attention",
  block: 0,
  inFeatures: WIDTH,
  outFeatures,
});
const modules = [moduleOf("q", 48), moduleOf("k", 16), moduleOf("v", 20)];
const specOf = ({ name, outFeatures }: LinearModule): WeightSpec => ({
  name: `${name}.weight`,
  shape: [outFeatures, WIDTH],
  part: "backbone",
  use: "linear",
});

function modelOf(format: BaseFormat, adaptation: Adaptation): { model: AdaptedModel; weights: Tensors } {
  const base = modules.flatMap((module) => {
    const spec = specOf(module);
    return quantizeWeight(spec, format, normal(0.3)(spec.shape as number[], randomFor(3, spec.name)));
  });
  const own = adaptation.parameters.map(({ name, shape }): [string, Tensor] => {
    return [name, normal(0.3)(shape, randomFor(5, name))];
  });
  return { model: { adaptation, format } as AdaptedModel, weights: new Map([...base, ...own]) };
}

/** One row of `x Wᵀ`. */
const product = (x: ArrayLike<number>, { shape, data }: Tensor<"float32">): Float64Array =>
  Float64Array.from({ length: shape[0]! }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < shape[1]!; i++) sum += x[i]! * data[row * shape[1]! + i]!;
    return sum;
  });

// The value layer has no adapter, so its part of the thin product is empty.
const adaptation = lora.adapt(lora.options.parse({ rank: 2, alpha: 6 }), modules.slice(0, 2));

test.each(["q4_0", "q4_1", "q8_0"] as const)("layers over %s are one product, including their LoRA", async (format) => {
  const { model, weights } = modelOf(format, adaptation);
  const graph = new Graph();
  const x = graph.leaf("input", "x", "float32", ["rows", WIDTH]);
  const layers = new JoinedLayers(model, weights);
  const y = layers.write(x, modules)!;
  // This graph is not compiled for answers, so rows are not rounded.
  const compiled = await runtime.compile({ y }, layers.tables);
  const row = normal(1)([1, WIDTH], randomFor(1, "x"));
  const found = (await compiled.run({ x: row })).y!;
  await compiled.release();
  const expected = modules.flatMap((module) => {
    const base = product(row.data, dequantizedWeight(specOf(module), format, weights));
    if (!adaptation.modules.includes(module)) return [...base];
    const { A, B } = adaptation.asLora!(module, weights as Tensors<"float32">);
    const change = product(product(row.data, A), B);
    return [...base].map((value, i) => value + 3 * change[i]!);
  });
  expect(found.shape).toEqual([1, 84]);
  expected.forEach((value, i) => {
    expect(found.data[i]).toBeCloseTo(value, 4);
  });
});

test("layers are not joined over other formats, nor with an adapter that is not a thin LoRA", () => {
  const written = (format: BaseFormat, own: Adaptation) => {
    const { model, weights } = modelOf(format, own);
    const x = new Graph().leaf("input", "x", "float32", ["rows", WIDTH]);
    return new JoinedLayers(model, weights).write(x, modules);
  };
  const loraOf = (options: object): Adaptation => lora.adapt(lora.options.parse(options), modules);
  expect(written("q4_0", loraOf({ rank: 2 }))).toBeDefined();
  expect(written("int8", loraOf({ rank: 2 }))).toBeUndefined();
  expect(written("q4_0", loraOf({ rank: 12 }))).toBeUndefined();
  expect(written("q4_0", loraOf({ rank: 2, useDora: true }))).toBeUndefined();
  expect(written("q4_0", vera.adapt(vera.options.parse({ rank: 32 }), modules))).toBeUndefined();
  expect(written("q4_0", { ...loraOf({ rank: 2 }), trainsBackbone: true })).toBeUndefined();
});
