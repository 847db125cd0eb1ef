import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Adaptation } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import { dequantizedWeight } from "../models/base-format.ts";
import type { Adapter } from "./adapter.ts";
import type { BaseModel } from "./base-model.ts";

/** An adapter that fits a base model, with everything that it can stand for. */
export interface FittedAdapter extends Adapter {
  adaptation: Adaptation;
}

/**
 * A base model as an adapter adapts it, with the adapter's parameters; parts of the head that the adapter leaves to the base
 * model are among them.
 * @throws UserError where the adapter does not fit the base model.
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
    fitted.set(name, values);
  }
  return { description, parameters: fitted, novelty, adaptation };
}

/** Shape of everything that an adapter may hold: the method's parameters, the head, and where it trains the backbone. */
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

/** What an adapter's parameters are before training: the base model's own, and those with which a method changes nothing. */
export function untrainedParameters(base: BaseModel, { adaptation, parameters }: FittedAdapter): Tensors<"float32"> {
  const first = initialParameters(adaptation, 0, layerWeights(base));
  return new Map([...parameters].map(([name, now]) => [name, first.get(name) ?? base.weights.get(name) ?? now]));
}

/**
 * First values of a method's parameters, each from a random stream of its own or from the weight of its layer.
 * @param weightOf the weight `[out, in]` of a layer by its name, see {@link layerWeights}
 */
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

/** Weights of a model's linear layers as it computes with them, in float32. */
export function layerWeights({
  trace,
  weights,
  quantized,
  format,
}: Pick<BaseModel, "trace" | "weights" | "quantized" | "format">): (module: string) => Tensor<"float32"> {
  // Parameters of one layer are asked for one after the other: of weights that are scaled back, one is there at a time.
  let latest: { name: string; weight: Tensor<"float32"> } | undefined;
  return (module) => {
    const spec = trace.weights.get(`${module}.weight`)!;
    if (format === "float32" || weights.has(spec.name)) return weights.get(spec.name)!;
    if (latest?.name !== spec.name) latest = { name: spec.name, weight: dequantizedWeight(spec, format, quantized) };
    return latest.weight;
  };
}
