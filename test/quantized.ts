import type { Tensor, Tensors } from "../src/graph/tensor.ts";
import { type BaseFormat, isQuantized, quantizeWeight } from "../src/models/base-format.ts";
import type { ModelDescription } from "../src/models/families.ts";
import { traceModel } from "../src/models/trace.ts";

/** What stands in place of a model's float32 weights under a base of this format. */
export function quantizedOf(
  model: ModelDescription & { labelCount: number },
  weights: Tensors<"float32">,
  format: BaseFormat,
): Map<string, Tensor> {
  const specs = [...traceModel(model, model.labelCount).weights.values()];
  return new Map(
    specs
      .filter((spec) => isQuantized(spec, format))
      .flatMap((spec) => quantizeWeight(spec, format, weights.get(spec.name)!)),
  );
}

/** Of two gradients as directions. */
export function cosine(
  { data: a }: Pick<Tensor<"float32">, "data">,
  { data: b }: Pick<Tensor<"float32">, "data">,
): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return ab / Math.sqrt(aa * bb);
}
