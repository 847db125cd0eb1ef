import type { BaseModel } from "../finetuning/base-model.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { gemm, transpose } from "../graph/ops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { Method } from "../methods/method.ts";
import type { LinearSite } from "../models/architecture.ts";
import type { Runtime } from "../runtime/session.ts";

/**
 * The weights of a base model with an adapter worked into them, by name without the family's prefix. A layer's new
 * weight is what the adapted layer, without its bias, makes of the identity matrix, and its new bias what it makes of
 * zeros: that holds for every method that leaves a linear layer linear, and needs no code per method.
 */
export async function mergeWeights(
  base: BaseModel,
  method: Method,
  parameters: Tensors<"float32">,
  runtime: Runtime,
): Promise<Tensors<"float32">> {
  const merged = new Map(base.weights);
  for (const name of base.trace.weights.keys()) {
    const trained = parameters.get(name);
    if (trained) merged.set(name, trained);
  }
  const weights = new Map([...merged, ...parameters]);
  for (const site of adaptedSites(base, method)) {
    const compiled = await runtime.compile(writeMergedLayer(base, method, site), weights);
    try {
      const { weight, bias } = await compiled.run({
        identity: identity(site.inFeatures),
        zeros: float32([1, site.inFeatures]),
      });
      merged.set(`${site.name}.weight`, asFloat32(weight!));
      if (bias) merged.set(`${site.name}.bias`, float32([site.outFeatures], asFloat32(bias).data));
    } finally {
      await compiled.release();
    }
  }
  return merged;
}

/** The model's layers that a method writes otherwise than the base model does. */
export function adaptedSites(base: BaseModel, { adapt, parameters }: Method): LinearSite[] {
  if (!adapt) return [];
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  return base.trace.sites.filter((site) => {
    const graph = new Graph();
    const parameter = (name: string): Value => graph.leaf("frozen", name, "float32", shapes.get(name)!);
    const x = graph.leaf("input", "x", "float32", ["rows", site.inFeatures]);
    const output = graph.leaf("input", "output", "float32", ["rows", site.outFeatures]);
    return adapt(parameter, x, () => output, site) !== output;
  });
}

/** A layer's new weight, and its new bias where it has one. */
function writeMergedLayer(base: BaseModel, method: Method, site: LinearSite): Record<string, Value> {
  const graph = new Graph();
  const shapes = new Map(method.parameters.map(({ name, shape }) => [name, shape]));
  const parameter = (name: string): Value => graph.leaf("frozen", name, "float32", shapes.get(name)!);
  const ownWeight = (name: string): Value => graph.leaf("frozen", name, "float32", base.trace.weights.get(name)!.shape);
  const hasBias = base.trace.weights.has(`${site.name}.bias`);
  const layer =
    (addend?: Value) =>
    (input: Value): Value =>
      gemm(input, ownWeight(`${site.name}.weight`), { transB: true, addend });
  const input = (name: string): Value => graph.leaf("input", name, "float32", [`${name}.rows`, site.inFeatures]);

  const weight = transpose(method.adapt!(parameter, input("identity"), layer(), site), [1, 0]);
  if (!hasBias) return { weight };
  return { weight, bias: method.adapt!(parameter, input("zeros"), layer(ownWeight(`${site.name}.bias`)), site) };
}

function identity(size: number): Tensor<"float32"> {
  const matrix = float32([size, size]);
  for (let i = 0; i < size; i++) matrix.data[i * (size + 1)] = 1;
  return matrix;
}
