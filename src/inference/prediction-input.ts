import { UserError } from "../errors.ts";
import type { TextInput } from "../tasks/task-kind.ts";

/** A text to predict for, the two texts of a pair, or an example; its words, where it has none, are split as the text says. */
export type PredictionInput = string | readonly [text: string, textPair: string] | TextInput;

/** A text, or the ids of its tokens as the model's tokenizer has them, special tokens included. */
export type TextOrTokens = string | readonly number[];

/** Whether several inputs are given, rather than one. */
export const isList = (given: readonly PredictionInput[] | string | TextInput): given is readonly PredictionInput[] =>
  Array.isArray(given);

/** An input's texts. @throws UserError where JavaScript's caller gave something else. */
export function textsOf(input: PredictionInput): TextInput {
  const texts =
    typeof input === "string" ? { text: input } : isPair(input) ? { text: input[0], textPair: input[1] } : input;
  if (typeof texts?.text === "string" && ["string", "undefined"].includes(typeof texts.textPair)) return texts;
  throw new UserError(
    `predict takes a text, a list of texts, of pairs [text, textPair] or of { text, textPair }, not ${JSON.stringify(input)}`,
  );
}

const isPair = (input: PredictionInput): input is readonly [string, string] => Array.isArray(input);
