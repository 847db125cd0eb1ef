import { head } from "../../methods/head.ts";
import type { Adapter } from "../../model/adapter.ts";
import type { Runtime } from "../../runtime/session.ts";
import { FineTunedModel } from "../fine-tuned-model.ts";

/** The model of a fine-tuned one before it was trained: the base alone, with the head that it came with. */
export function beforeTraining({ base, description }: FineTunedModel, runtime: Runtime): Promise<FineTunedModel> {
  const alone: Adapter = {
    description: { ...description, method: head.name, methodOptions: {} },
    parameters: new Map(),
  };
  return FineTunedModel.adapt(base, alone, runtime);
}
