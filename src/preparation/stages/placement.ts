import { FineTuning } from "../fine-tuning.ts";
import type { RunPlan } from "../run-plan.ts";
import type { Stage, StartOptions } from "./stage.ts";

/** Cuts micro-batches until a step fits into memory, and moves the run to the device on which a step is fastest. */
export const placement: Stage<RunPlan, StartOptions> = {
  name: "placement",
  needs: () => true,
  async run(plan, { place }) {
    const fineTuning = new FineTuning(plan);
    const { runtime, notes } = await place(fineTuning, plan.runtime);
    const settings = { ...plan.settings, tokenBudget: fineTuning.tokenBudget };
    return { ...plan, runtime, settings, notes: [...notes, ...plan.notes] };
  },
};
