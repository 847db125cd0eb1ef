import type { KindHead } from "../../src/architectures/architecture.ts";
import { type BaseFormat, isQuantized, quantizeWeight } from "../../src/architectures/base-format.ts";
import type { ModelDescription } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { float32, type Tensor, type Tensors } from "../../src/graph/tensor.ts";

/** What stands in place of a model's float32 weights under a base of this format. */
export function quantizedOf(
  model: ModelDescription & { labelCount: number; head?: KindHead },
  weights: Tensors<"float32">,
  format: BaseFormat,
): Map<string, Tensor> {
  const specs = [...traceModel(model, model.labelCount, model.head).weights.values()];
  return new Map(
    specs
      .filter((spec) => isQuantized(spec, format))
      .flatMap((spec) => quantizeWeight(spec, format, weights.get(spec.name)!)),
  );
}

/** The numbers that packed groups of 32 stand for. */
export function dequantizeGroups(
  { packed, scales }: Readonly<Record<"packed" | "scales", Tensor>>,
  size: number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: size }, (_, i) => {
    const [group, at] = [Math.floor(i / 32), i % 32];
    const byte = Number(packed.data[group * 16 + (at % 16)]);
    return ((at < 16 ? byte & 15 : byte >> 4) - 8) * Number(scales.data[group]);
  });
}

/** Float32 weights that say what quantised ones say. */
export function dequantizedOf(
  model: Parameters<typeof quantizedOf>[0],
  weights: Tensors<"float32">,
): Tensors<"float32"> {
  const specs = [...traceModel(model, model.labelCount, model.head).weights.values()].filter((spec) =>
    isQuantized(spec, "int4"),
  );
  const found = specs.map((spec) => {
    const values = weights.get(spec.name)!;
    const parts = Object.fromEntries(
      quantizeWeight(spec, "int4", values).map(([name, tensor]) => [name.slice(name.lastIndexOf(".") + 1), tensor]),
    );
    const { bytes, scales } = parts;
    const data = bytes
      ? Float32Array.from(
          values.data,
          (_, i) => Number(bytes.data[i]) * Number(scales!.data[Math.floor(i / values.shape[1]!)]),
        )
      : dequantizeGroups(parts as Record<"packed" | "scales", Tensor>, values.data.length);
    return [spec.name, float32(values.shape, data)] as const;
  });
  return new Map([...weights, ...found]);
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
