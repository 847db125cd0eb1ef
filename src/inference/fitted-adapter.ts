import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import { randomFor } from "../methods/initializers.ts";
import type { Adaptation } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
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
  const fitted = new Map<string, Tensor<"float32">>();
  for (const [name, shape] of adaptedShapes(base, adaptation)) {
    const values = parameters.get(name) ?? (own.has(name) ? undefined : base.weights.get(name));
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
export function adaptedShapes(base: BaseModel, adaptation: Adaptation): Map<string, readonly number[]> {
  const own = [...base.trace.weights.values()].filter(
    ({ part, buffer }) => !buffer && (part === "head" || adaptation.trainsBackbone),
  );
  return new Map([
    ...adaptation.parameters.map(({ name, shape }) => [name, shape] as const),
    ...own.map(({ name, shape }) => [name, shape as number[]] as const),
  ]);
}

/** First values of a method's parameters, each from a random stream of its own. */
export function initialParameters({ parameters }: Adaptation, seed: number): Tensors<"float32"> {
  return new Map(parameters.map(({ name, shape, initialize }) => [name, initialize(shape, randomFor(seed, name))]));
}
