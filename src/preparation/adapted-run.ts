import type { WeightSpec } from "../architectures/model-parts.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { opt, UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import { findMethod } from "../methods/methods.ts";
import type { AdaptedModel } from "../training/step-graph.ts";
import type { RunPlan } from "./run-plan.ts";
import { headTrains } from "./trained-head.ts";

/**
 * The base model of a plan as its method adapts it.
 * @throws UserError if the method's options do not suit the model, or the method trains a base that is not float32
 */
export function adaptedModel(
  plan: Pick<RunPlan, "base" | "method" | "settings" | "start">,
): BaseModel & Pick<AdaptedModel, "adaptation" | "trainsHead"> {
  const { base, method, settings } = plan;
  const adaptation = findMethod(method.name).adapt(method.options, base.trace.modules);
  if (adaptation.trainsBackbone && base.format !== "float32") {
    throw new UserError(
      `method "${method.name}" trains the base model itself, which needs ${opt("base")} float32, not ${base.format}`,
    );
  }
  const trainsHead = headTrains(settings.head, { trace: base.trace, newWeights: ownHead(plan) });
  return { ...base, adaptation, trainsHead };
}

/** Parts of the head that the checkpoint lacks or an adapter brought, so that the run's adapter must hold them. */
export const ownHead = ({ base, start }: Pick<RunPlan, "base" | "start">): WeightSpec[] => [
  ...(start?.newWeights ?? base.newWeights),
  ...(start?.brought ?? []),
];

/** Weights of a base model with the parameters of a method, by name. Tensors are not copied. */
export const adaptedWeights = (
  base: Pick<BaseModel, "weights" | "quantized">,
  parameters: Tensors<"float32">,
): Tensors => new Map([...base.weights, ...base.quantized, ...parameters]);
