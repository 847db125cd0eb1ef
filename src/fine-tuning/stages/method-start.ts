import { findMethod } from "../../methods/methods.ts";
import { initialParameters, layerWeights } from "../../model/fitted-adapter.ts";
import type { RunPlan } from "../run-plan.ts";
import type { Stage } from "./stage.ts";

/**
 * Makes the method's first parameters: those of the adapter that the run continues from, or those that the method draws or computes.
 * A method's `start` may look at the base model and the encoded examples.
 */
export const methodStart: Stage<RunPlan> = {
  name: "method's start",
  needs: () => true,
  async run(plan) {
    const { base, method, settings, start } = plan;
    const adaptation = findMethod(method.name).adapt(method.options, base.trace.modules);
    const initial = start?.parameters ?? initialParameters(adaptation, settings.seed, layerWeights(base));
    return { ...plan, initial };
  },
};
