import { checkOptions } from "../errors.ts";
import { generationOptions } from "../inference/generation/generation-options.ts";
import type { AnswerOptions } from "../inference/write-answers.ts";

/** Options for generating answers among a command's options. @throws UserError if one is malformed */
export function writingOptions(options: object): AnswerOptions {
  const known = Object.keys(generationOptions.shape);
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => known.includes(name)));
  checkOptions(generationOptions, own);
  return own;
}
