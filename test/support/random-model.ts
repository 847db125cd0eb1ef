import { describeModel } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { float32, type Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";

/** A model of a config.json's shape with a method beside it, everything trained, all weights random. */
export function randomModel(
  config: unknown,
  methodName: string,
  labelCount: number,
): { model: AdaptedModel; weights: Map<string, Tensor> } {
  const description = describeModel(config);
  const trace = traceModel(description, labelCount);
  const method = findMethod(methodName);
  const adaptation = method.adapt(parseMethodOptions(method, {}), trace.modules);
  const weights = new Map<string, Tensor>();
  for (const spec of [...trace.weights.values(), ...adaptation.parameters]) {
    weights.set(spec.name, normal(0.2)(spec.shape as number[], randomFor(3, spec.name)));
  }
  return { model: { ...description, adaptation, labelCount, trainsHead: () => true }, weights };
}

/** The labels of {@link exampleOf}. */
export const LABELS = 2;

/** A made-up text of so many tokens, whose label alternates with its index. */
export function exampleOf(length: number, index: number): TrainingExample {
  return {
    index,
    encoding: {
      inputIds: Int32Array.from({ length }, (_, i) => 5 + ((index * 31 + i * 7) % 80)),
      tokenTypeIds: new Int32Array(length),
    },
    targets: float32([1, LABELS], Float32Array.from([index % 2, 1 - (index % 2)])),
    weights: Float32Array.of(1),
  };
}
