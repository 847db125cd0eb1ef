import { checkOptions } from "../finetuning/training-options.ts";
import type { AnswerOptions } from "../finetuning/write-answers.ts";
import { generationOptions } from "../generation/generation-options.ts";

/** How answers are to be written, among a command's options. @throws UserError where one of these is malformed. */
export function writingOptions(options: object): AnswerOptions {
  const known = Object.keys(generationOptions.shape);
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => known.includes(name)));
  checkOptions(generationOptions, own);
  return own;
}
