import type { Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import { describeModel } from "../../src/models/families.ts";
import { traceModel } from "../../src/models/trace.ts";
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
  const adaptation = method.adapt(parseMethodOptions(method, {}), trace.sites);
  const weights = new Map<string, Tensor>();
  for (const spec of [...trace.weights.values(), ...adaptation.parameters]) {
    weights.set(spec.name, normal(0.2)(spec.shape as number[], randomFor(3, spec.name)));
  }
  return { model: { ...description, adaptation, labelCount, trainsHead: () => true }, weights };
}
