import type { Adapter } from "../../base-models/adapter.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { head } from "../../methods/head.ts";
import type { Runtime } from "../../runtime/session.ts";
import { FineTunedModel } from "../fine-tuned-model.ts";

/** A fine-tuned model as it was before training: the base model with its original head, or with a new one's random values. */
export function beforeTraining({ base, description }: FineTunedModel, runtime: Runtime): Promise<FineTunedModel> {
  const random = base.newWeights.map(({ name }) => [name, base.weights.get(name) as Tensor<"float32">] as const);
  const alone: Adapter = {
    description: { ...description, method: head.name, methodOptions: {} },
    parameters: new Map(random),
  };
  return FineTunedModel.adapt(base, alone, runtime);
}
