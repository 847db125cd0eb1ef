import type { TaskData } from "../../tasks/example.ts";
import { objectiveOf } from "../../tasks/task-kinds.ts";
import type { EncodedSplit } from "../../training/evaluation/evaluate.ts";
import { type ReferenceOptions, withReference } from "../../training/prediction/reference.ts";
import { stageProgress } from "../../training/progress.ts";
import { adaptedModel, adaptedWeights } from "../adapted-run.ts";
import type { RunPlan } from "../run-plan.ts";
import type { Stage } from "./stage.ts";

/**
 * Records the base model's outputs for each example, if the task's loss compares with them. A run that resumes records them again:
 * they are the outputs before its first step.
 */
export const referenceAnswers: Stage<RunPlan> = {
  name: "reference answers",
  // A rollout records the outputs for the answers that it writes.
  needs: ({ encoded, reward }) => !reward && objectiveOf(encoded.task).reference !== undefined,
  async run(plan, { signal, onProgress }) {
    const { base, encoded, initial, runtime, settings } = plan;
    const started = { model: adaptedModel(plan), weights: adaptedWeights(base, initial), runtime };
    const { examples, encoded: read } = encoded.train;
    const all = { name: "training", examples: [...examples], encoded: [...read] };
    const [train, ...validation] = await withReferences(encoded.task, [all, ...encoded.validation], started, {
      tokenBudget: settings.tokenBudget,
      signal,
      onDone: stageProgress(onProgress, "reading the answers before training"),
    });
    return { ...plan, encoded: { ...encoded, train: train!, sample: train!, validation } };
  },
};

/** Adds a model's outputs to the targets of splits, if the task's loss compares with them. @throws the signal's reason */
export async function withReferences(
  task: TaskData,
  splits: readonly EncodedSplit[],
  started: Parameters<typeof withReference>[2],
  options: ReferenceOptions,
): Promise<EncodedSplit[]> {
  const all = splits.flatMap(({ encoded }) => encoded);
  const referred = await withReference(objectiveOf(task), all, started, options);
  let end = 0;
  return splits.map((split) => {
    end += split.encoded.length;
    return { ...split, encoded: referred.slice(end - split.encoded.length, end) };
  });
}
