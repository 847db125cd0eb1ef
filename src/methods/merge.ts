import type { LinearModule } from "../architectures/model-parts.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { gemm, transpose } from "../graph/ops.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Adaptation } from "./method.ts";

/**
 * Merges an adapter into a model's weights. A layer's new weight is the output of the adapted layer, without its bias,
 * for the identity matrix, and its new bias is the output for zeros. This works for every method that keeps a linear
 * layer linear, without code per method.
 * @param weights of the model, by name
 * @param parameters of the method, and those that replace the model's own
 */
export async function mergeWeights(
  weights: Tensors<"float32">,
  adaptation: Adaptation,
  parameters: Tensors<"float32">,
  runtime: Runtime,
): Promise<Tensors<"float32">> {
  const own = [...weights].map(([name, weight]) => [name, parameters.get(name) ?? weight] as const);
  const merged = new Map(own);
  const all = new Map([...own, ...parameters]);
  for (const module of adaptation.modules) {
    const compiled = await runtime.compile(writeMergedLayer(weights, adaptation, module), all);
    try {
      const { name, inFeatures, outFeatures } = module;
      const inputs = { identity: identity(inFeatures), zeros: float32([1, inFeatures]) };
      // Outputs go into our own arrays: those that ONNX Runtime allocates remain until V8 collects them.
      const into = new Map([["weight", float32([outFeatures, inFeatures])]]);
      if (weights.has(`${name}.bias`)) into.set("bias", float32([1, outFeatures]));
      await compiled.run(inputs, undefined, into);
      merged.set(`${name}.weight`, into.get("weight")!);
      const bias = into.get("bias");
      if (bias) merged.set(`${name}.bias`, float32([outFeatures], bias.data));
    } finally {
      await compiled.release();
    }
  }
  return merged;
}

/** Writes a layer's new weight, and its new bias if it has one. */
function writeMergedLayer(
  weights: Tensors<"float32">,
  { adapt, parameters }: Adaptation,
  module: LinearModule,
): Record<string, Value> {
  const graph = new Graph();
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  const parameter = (name: string): Value => graph.leaf("frozen", name, "float32", shapes.get(name)!);
  const ownWeight = (name: string): Value => graph.leaf("frozen", name, "float32", weights.get(name)!.shape);
  const layer =
    (addend?: Value) =>
    (input: Value): Value =>
      gemm(input, ownWeight(`${module.name}.weight`), { transB: true, addend });
  const input = (name: string): Value => graph.leaf("input", name, "float32", [`${name}.rows`, module.inFeatures]);

  const weight = transpose(adapt!(parameter, input("identity"), layer(), module), [1, 0]);
  if (!weights.has(`${module.name}.bias`)) return { weight };
  return { weight, bias: adapt!(parameter, input("zeros"), layer(ownWeight(`${module.name}.bias`)), module) };
}

function identity(size: number): Tensor<"float32"> {
  const matrix = float32([size, size]);
  for (let i = 0; i < size; i++) matrix.data[i * (size + 1)] = 1;
  return matrix;
}
