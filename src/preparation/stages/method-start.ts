import { initialParameters, layerWeights } from "../../base-models/fitted-adapter.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { MethodStart } from "../../methods/method.ts";
import { findMethod } from "../../methods/methods.ts";
import { Turns } from "../../runtime/turns.ts";
import { evenly } from "../../tasks/list.ts";
import { objectiveOf } from "../../tasks/task-kinds.ts";
import { layerGradients } from "../../training/layer-gradients.ts";
import { layerInputs } from "../../training/layer-inputs.ts";
import { stageProgress } from "../../training/progress.ts";
import { adaptedWeights } from "../adapted-run.ts";
import { canFitHead, type RunPlan } from "../run-plan.ts";
import type { Stage, StageOptions } from "./stage.ts";

/**
 * Makes the method's first parameters: those of the adapter that the run continues from, or those that the method draws or computes.
 * A method's `start` may look at the base model and at gradients of the training examples. A run that resumes has its parameters in its
 * state, so that nothing is computed again.
 */
export const methodStart: Stage<RunPlan> = {
  name: "method's start",
  needs: () => true,
  async run(plan, options) {
    const { base, method, settings, start, resume } = plan;
    if (start) return { ...plan, initial: start.parameters };
    const definition = findMethod(method.name);
    const adaptation = definition.adapt(method.options, base.trace.modules);
    const drawn = new Map<string, Tensor<"float32">>();
    const [weightOf, turns] = [layerWeights(base), new Turns(options.signal)];
    // One after the other: the singular values of a large layer take a while.
    for (const parameter of adaptation.parameters) {
      for (const [name, values] of initialParameters({ parameters: [parameter] }, settings.seed, weightOf))
        drawn.set(name, values);
      await turns.give();
    }
    if (!definition.start || resume) return { ...plan, initial: drawn };
    const computed = await definition.start(method.options, adaptation, contextOf(plan, options));
    return { ...plan, initial: new Map([...drawn, ...computed]) };
  },
};

function contextOf(plan: RunPlan, { signal, onProgress }: StageOptions): MethodStart {
  const { base, encoded, settings, runtime } = plan;
  const { task, sample } = encoded;
  const { seed, tokenBudget } = settings;
  const weights = adaptedWeights(base, new Map());
  const [turns, tell] = [new Turns(signal), stageProgress(onProgress, "computing the adapter's start", "layers")];
  return {
    seed,
    async onLayer(done, total) {
      await turns.give();
      await tell(done, total);
    },
    hasTellingGradients: canFitHead(plan) && !settings.contrastive,
    weightOf: layerWeights(base),
    gradients(modules, count) {
      const examples = evenly(sample.encoded, count);
      const batch = { modules, objective: objectiveOf(task), examples, tokenBudget, signal };
      return layerGradients(base, weights, runtime, batch);
    },
    inputs(modules, count) {
      const examples = evenly(sample.encoded, count);
      return layerInputs(base, weights, runtime, { modules, examples, tokenBudget, signal });
    },
  };
}
