import { readFileSync } from "node:fs";
import type { Tensor } from "../../src/graph/tensor.ts";
import { normal, randomFor } from "../../src/methods/initializers.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import { describeModel } from "../../src/models/families.ts";
import { traceModel } from "../../src/models/trace.ts";
import type { AdaptedModel } from "../../src/training/step-graph.ts";

/**
 * A model of a fixture's shape with a method beside it, everything trained, all weights random.
 * @param config what stands in place of its config.json's
 */
export function randomModel(
  name: string,
  methodName: string,
  labelCount: number,
  config: Record<string, unknown>,
): { model: AdaptedModel; weights: Map<string, Tensor> } {
  const path = new URL(`../fixtures/models/${name}/config.json`, import.meta.url);
  const description = describeModel({ ...JSON.parse(readFileSync(path, "utf8")), ...config });
  const trace = traceModel(description, labelCount);
  const method = findMethod(methodName);
  const adaptation = method.adapt(parseMethodOptions(method, {}), trace.sites);
  const weights = new Map<string, Tensor>();
  for (const spec of [...trace.weights.values(), ...adaptation.parameters]) {
    weights.set(spec.name, normal(0.2)(spec.shape as number[], randomFor(3, spec.name)));
  }
  return { model: { ...description, adaptation, labelCount, trainsHead: () => true }, weights };
}
