import type { FineTunedModel } from "../inference/fine-tuned-model.ts";

export const THRESHOLD =
  "least probability of a class, below which the answer is unsure: 0.8, or auto:precision=0.95, as sure as validation was so often right";

export const NONE_OF_THESE =
  "answer none of these for texts unlike those of all classes: the share of these classes' own texts that may be, such as 0.05";

/** Flags by which a classifier may leave its answer open. */
export interface OpenAnswers {
  threshold?: string | undefined;
  noneOfThese?: number | undefined;
}

/** @throws UserError where the model chooses no class, or cannot tell. */
export function leaveOpen(model: FineTunedModel, { threshold, noneOfThese }: OpenAnswers): void {
  if (threshold !== undefined) model.requireConfidence(threshold);
  if (noneOfThese !== undefined) model.allowNoneOfThese(noneOfThese);
}
