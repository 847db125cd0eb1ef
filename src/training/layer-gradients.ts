import type { LinearModule } from "../architectures/model-parts.ts";
import { gemm } from "../graph/ops.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { constant } from "../methods/initializers.ts";
import { type Adaptation, namesOf } from "../methods/method.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { blockGroups } from "./block-groups.ts";
import { TrainingStep } from "./step.ts";
import type { AdaptedModel } from "./step-graph.ts";

/** Gradient of a loss with respect to the weight of a linear layer, `[out, in]`. */
export interface LayerGradient {
  module: LinearModule;
  gradient: Tensor<"float32">;
}

/**
 * Yields the gradients of the mean loss with respect to the weights of linear layers, without dropout. Memory holds the gradients of a few
 * blocks at a time ({@link blockGroups}). The base may have any format: each gradient is that of a zero matrix that is added to the layer's
 * weight.
 */
export async function* layerGradients(
  model: Omit<AdaptedModel, "adaptation" | "trainsHead">,
  weights: Tensors,
  runtime: Runtime,
  { modules, ...batch }: { modules: readonly LinearModule[] } & GradientBatch,
): AsyncGenerator<LayerGradient, void> {
  for (const own of blockGroups(modules, ({ inFeatures, outFeatures }) => inFeatures * outFeatures)) {
    const adaptation = zeroMatrices(own);
    const zeros = adaptation.parameters.map(({ name, shape }) => [name, float32(shape)] as const);
    const settings = { ...batch, dropout: false, seed: 0 };
    const adapted = { ...model, adaptation, trainsHead: () => false };
    const step = await TrainingStep.compile(adapted, new Map([...weights, ...zeros]), runtime, settings);
    try {
      const { gradients } = await step.run(0, batch.examples, batch.signal);
      for (const module of own) yield { module, gradient: gradients.get(addedTo(module))! };
    } finally {
      await step.release();
    }
  }
}

export interface GradientBatch {
  objective: Objective;
  examples: readonly TrainingExample[];
  tokenBudget: number;
  signal?: AbortSignal | undefined;
}

const addedTo = ({ name }: LinearModule): string => `${name}.added`;

/** Adds a trainable matrix of zeros `[out, in]` to the weight of each layer. */
function zeroMatrices(modules: readonly LinearModule[]): Adaptation {
  const parameters = modules.map((module) => ({
    name: addedTo(module),
    shape: [module.outFeatures, module.inFeatures],
    initialize: constant(0),
    decays: false,
  }));
  return {
    modules,
    parameters,
    trainable: namesOf(parameters),
    adapt: (parameter, x, layer, module) => gemm(x, parameter(addedTo(module)), { transB: true, addend: layer(x) }),
  };
}
