import type { LinearModule } from "../architectures/model-parts.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import { cutMicroBatches, exampleSize, runBudget } from "./batches/micro-batches.ts";
import { singleTexts } from "./batches/single-texts.ts";
import { blockGroups } from "./block-groups.ts";
import type { GradientBatch } from "./layer-gradients.ts";
import { ModelRun } from "./model-run.ts";
import { type AdaptedModel, writeInputProducts } from "./step-graph.ts";

/** Products of the inputs of a linear layer with each other, summed over all tokens, `[in, in]`. */
export interface LayerInputProducts {
  module: LinearModule;
  products: Tensor<"float32">;
}

/**
 * Yields the products `Xᵀ X` of the inputs X `[tokens, in]` of linear layers, without dropout. Memory holds those of a few
 * blocks at a time ({@link blockGroups}). The base may have any format.
 */
export async function* layerInputs(
  model: Omit<AdaptedModel, "adaptation" | "trainsHead">,
  weights: Tensors,
  runtime: Runtime,
  { modules, examples, tokenBudget, signal }: { modules: readonly LinearModule[] } & Omit<GradientBatch, "objective">,
): AsyncGenerator<LayerInputProducts, void> {
  const texts = singleTexts(examples);
  const cut = cutMicroBatches(texts.map(exampleSize), runBudget(model, tokenBudget));
  const unadapted = { ...model, adaptation: { modules: [], parameters: [], trainable: new Set<string>() } };
  for (const own of blockGroups(modules, ({ inFeatures }) => inFeatures ** 2)) {
    const write = (adapted: AdaptedModel) => writeInputProducts(adapted, own);
    const adapted = { ...unadapted, trainsHead: () => false };
    const run = await ModelRun.compile(adapted, write, weights, runtime, 0);
    const sums = new Map<string, Tensor<"float32">>();
    try {
      for (const part of cut) {
        signal?.throwIfAborted();
        const { results } = await run.run(
          0,
          part.map((i) => texts[i]!),
        );
        for (const [name, { shape, data }] of Object.entries(results)) {
          const sum = sums.get(name) ?? float32(shape);
          sums.set(name, sum);
          for (let i = 0; i < data.length; i++) sum.data[i]! += Number(data[i]);
        }
      }
    } finally {
      await run.compiled.release();
    }
    for (const module of own) yield { module, products: sums.get(module.name)! };
  }
}
