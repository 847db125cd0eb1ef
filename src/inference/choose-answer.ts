import { UserError } from "../errors.ts";
import { type LabelProbability, ranked, softmax } from "../tasks/probabilities.ts";
import type { ComputeOptions, FineTunedModel } from "./fine-tuned-model.ts";

export interface ChosenAnswer {
  label: string;
  probability: number;
  labels: LabelProbability[];
}

/**
 * Chooses the likeliest of several answers to each prompt. Probabilities are those of whole answers, including the end token, as shares
 * of the total of all allowed answers.
 * @throws UserError if the model does not generate, or fewer than two different answers are allowed.
 */
export async function chooseAnswers(
  model: FineTunedModel,
  prompts: readonly string[],
  choices: readonly string[],
  options: ComputeOptions = {},
): Promise<ChosenAnswer[]> {
  if (!model.writes) {
    throw new UserError(`the model is for ${model.kind.name} and writes no answers, so it cannot choose among some`);
  }
  if (new Set(choices).size < 2 || choices.some((choice) => choice.trim() === "")) {
    throw new UserError("choices must be two or more different answers, none of them empty");
  }
  const pairs = prompts.flatMap((prompt) => choices.map((choice) => [prompt, choice] as const));
  const found = await model.predict(pairs, options);
  return prompts.map((_, i) => {
    const own = found.slice(i * choices.length, (i + 1) * choices.length);
    const logProbabilities = Float32Array.from(own, ({ logProbability }) => logProbability!);
    const labels = ranked(choices, softmax(logProbabilities));
    return { ...labels[0]!, labels };
  });
}
