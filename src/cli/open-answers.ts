import type { FineTunedModel } from "../inference/fine-tuned-model.ts";

export const THRESHOLD =
  "answer unsure below this probability: a number such as 0.8, or auto:precision=0.95 to choose it so that 95 % of validation answers were correct";

export const NONE_OF_THESE =
  "answer none of these for texts that are unlike every class; the number, such as 0.05, is the share of texts of known classes that may get this answer";

/** Flags that let a classifier give no answer. */
export interface OpenAnswers {
  threshold?: string | undefined;
  noneOfThese?: number | undefined;
}

/** @throws UserError if the model does not classify, or has no basis for such a decision */
export function leaveOpen(model: FineTunedModel, { threshold, noneOfThese }: OpenAnswers): void {
  if (threshold !== undefined) model.requireConfidence(threshold);
  if (noneOfThese !== undefined) model.allowNoneOfThese(noneOfThese);
}
