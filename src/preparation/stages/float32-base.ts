import type { BaseModel } from "../../base-models/base-model.ts";
import { fitAdapter } from "../../base-models/fitted-adapter.ts";
import { type Evaluation, Evaluator } from "../../training/evaluation/evaluate.ts";
import { stageProgress } from "../../training/progress.ts";
import { adaptedWeights } from "../adapted-run.ts";
import { withReferences } from "./reference-answers.ts";
import type { EndOptions, RunEnding, Stage, StageOptions } from "./stage.ts";

/** Scores the adapter on the float32 base if training had another format: exports and predictions use float32. */
export const float32Base: Stage<RunEnding, EndOptions> = {
  name: "float32 base",
  needs: ({ plan }) => plan.base.format !== "float32",
  async run(ending, { signal, onProgress, float32TooLarge, readFloat32 }) {
    const { plan, notes } = ending;
    const tooLarge = float32TooLarge?.(plan.base);
    if (tooLarge) return { ...ending, notes: [...notes, tooLarge] };
    const base = await readFloat32(plan.task);
    return { ...ending, base, onFloat32: await evaluateOn(base, ending, { signal, onProgress }) };
  },
};

/** Scores the adapter on the validation examples with `base`, the plan's model in another format. */
async function evaluateOn(
  base: BaseModel,
  { plan: { initial, runtime, encoded }, fineTuning, adapter }: RunEnding,
  { signal, onProgress }: StageOptions,
): Promise<Evaluation> {
  const onDone = stageProgress(onProgress, "evaluating on the float32 base");
  const { training } = fineTuning;
  const { task, settings, validation } = training;
  const model = { ...training.model, format: base.format };
  const weights = adaptedWeights(base, fitAdapter(base, adapter).parameters);
  const rollout = fineTuning.rollout({ ...training, model, weights, runtime });
  if (rollout) return rollout.evaluate(validation, signal, onDone).finally(() => rollout.release());
  const untrained = { model, weights: adaptedWeights(base, initial), runtime };
  const { tokenBudget } = settings;
  const splits = await withReferences(encoded.task, validation, untrained, { tokenBudget, signal });
  const evaluator = await Evaluator.compile(model, weights, runtime, task, settings);
  try {
    return await evaluator.evaluate(splits, signal, onDone);
  } finally {
    await evaluator.release();
  }
}
