import { head } from "../../methods/head.ts";
import type { Adapter } from "../../model/adapter.ts";
import type { Runtime } from "../../runtime/session.ts";
import { FineTunedModel } from "../fine-tuned-model.ts";

/** A fine-tuned model as it was before training: the base model with its original head. */
export function beforeTraining({ base, description }: FineTunedModel, runtime: Runtime): Promise<FineTunedModel> {
  const alone: Adapter = {
    description: { ...description, method: head.name, methodOptions: {} },
    parameters: new Map(),
  };
  return FineTunedModel.adapt(base, alone, runtime);
}
