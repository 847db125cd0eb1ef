import { dequantizedWeight } from "../architectures/base-format.ts";
import { opt, UserError } from "../errors.ts";
import { areFinite, type Tensor, type Tensors } from "../graph/tensor.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Adaptation } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { Adapter } from "./adapter.ts";
import type { BaseModel } from "./base-model.ts";

/** An adapter that fits a base model, with all parameters that the base model leaves to it. */
export interface FittedAdapter extends Adapter {
  adaptation: Adaptation;
}

/**
 * Fits an adapter to a base model. The result includes the parts of the head that the adapter takes from the base
 * model.
 */
export function fitAdapter(base: BaseModel, { description, parameters, novelty }: Adapter): FittedAdapter {
  const definition = findMethod(description.method);
  const options = parseMethodOptions(definition, description.methodOptions);
  const adaptation = definition.adapt(options, base.trace.modules);
  const own = new Set(adaptation.parameters.map(({ name }) => name));
  const ofBase = initialParameters(
    { parameters: adaptation.parameters.filter((parameter) => parameter.ofBase) },
    0,
    layerWeights(base),
  );
  const fitted = new Map<string, Tensor<"float32">>();
  for (const [name, shape] of adaptedShapes(base, adaptation)) {
    const values = ofBase.get(name) ?? parameters.get(name) ?? (own.has(name) ? undefined : base.weights.get(name));
    if (values?.shape.join() !== shape.join()) {
      throw new UserError(
        `the adapter does not fit base model ${base.name}: "${name}" should be [${shape.join(", ")}] but is ${values ? `[${values.shape.join(", ")}]` : "missing"}`,
      );
    }
    if (!areFinite(values.data)) {
      throw new UserError(
        `the adapter on ${base.name} is damaged: "${name}" has values that are not finite; train it again, or restore it from a copy`,
      );
    }
    fitted.set(name, values);
  }
  return { description, parameters: fitted, novelty, adaptation };
}

/** Fits an adapter to a base model that predicts with it. Newly initialized weights would give random answers. */
export function fitToPredict(base: BaseModel, adapter: Adapter): FittedAdapter {
  const missing = base.newWeights.filter(({ name }) => !adapter.parameters.has(name));
  if (missing.length === 0) return fitAdapter(base, adapter);
  const names = missing.map(({ name }) => name).join(", ");
  throw new UserError(
    adapter.parameters.size === 0
      ? `${base.name} cannot predict without training: it has no weights ${names}; train it first`
      : `the adapter cannot predict on ${base.name}: neither of them has the weights ${names}; train with ${opt("adapter")} to continue from it`,
  );
}

export function adaptedShapes(
  { trace }: Pick<BaseModel, "trace">,
  adaptation: Adaptation,
): Map<string, readonly number[]> {
  const own = [...trace.weights.values()].filter(
    ({ part, buffer }) => !buffer && (part === "head" || adaptation.trainsBackbone),
  );
  return new Map([
    ...adaptation.parameters.map(({ name, shape }) => [name, shape] as const),
    ...own.map(({ name, shape }) => [name, shape as number[]] as const),
  ]);
}

/** An adapter's parameters before training: the base model's own, and the method's initial ones, which change nothing. */
export function untrainedParameters(base: BaseModel, { adaptation, parameters }: FittedAdapter): Tensors<"float32"> {
  const first = initialParameters(adaptation, 0, layerWeights(base));
  return new Map([...parameters].map(([name, now]) => [name, first.get(name) ?? base.weights.get(name) ?? now]));
}

export function initialParameters(
  { parameters }: Pick<Adaptation, "parameters">,
  seed: number,
  weightOf: (module: string) => Tensor<"float32">,
): Tensors<"float32"> {
  return new Map(
    parameters.map(({ name, shape, initialize }) => {
      const weight = () => weightOf(name.slice(0, name.lastIndexOf(".")));
      return [name, initialize(shape, randomFor(seed, name), weight)];
    }),
  );
}

export function layerWeights({
  trace,
  weights,
  quantized,
  format,
}: Pick<BaseModel, "trace" | "weights" | "quantized" | "format">): (module: string) => Tensor<"float32"> {
  // Parameters of one layer are requested one after the other, so only the latest dequantized weight is kept.
  let latest: { name: string; weight: Tensor<"float32"> } | undefined;
  return (module) => {
    const spec = trace.weights.get(`${module}.weight`)!;
    if (format === "float32" || weights.has(spec.name)) return weights.get(spec.name)!;
    if (latest?.name !== spec.name) latest = { name: spec.name, weight: dequantizedWeight(spec, format, quantized) };
    return latest.weight;
  };
}
