import { UserError } from "../errors.ts";
import type { Encoding } from "../inputs/tokenizer.ts";
import type { TextInput } from "../tasks/task-kind.ts";

/** A text to predict for, the two texts of a pair, or an example. Its words are split from the text unless they are given. */
export type PredictionInput = string | readonly [text: string, textPair: string] | TextInput;

/** A text, or its token ids from the model's tokenizer, including special tokens. */
export type TextOrTokens = string | readonly number[];

/** Whether the input is a list of inputs. */
export const isList = (given: readonly PredictionInput[] | string | TextInput): given is readonly PredictionInput[] =>
  Array.isArray(given);

/** Texts of an input. @throws UserError if a JavaScript caller passes anything else. */
export function textsOf(input: PredictionInput): TextInput {
  const texts =
    typeof input === "string" ? { text: input } : isPair(input) ? { text: input[0], textPair: input[1] } : input;
  if (typeof texts?.text === "string" && ["string", "undefined"].includes(typeof texts.textPair)) return texts;
  throw new UserError(
    `predict takes a text, a list of texts, of pairs [text, textPair] or of { text, textPair }, not ${JSON.stringify(input)}`,
  );
}

const isPair = (input: PredictionInput): input is readonly [string, string] => Array.isArray(input);

/** @throws UserError if ids are invalid, or more than the model reads: truncated, they would lack their end token. */
export function encodingOf(
  ids: readonly number[],
  { vocabularySize, maxLength }: { vocabularySize: number; maxLength: number },
): Encoding {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
  if (wrong !== undefined) {
    throw new UserError(`${wrong} is not a token id: the model's tokenizer has ids from 0 to ${vocabularySize - 1}`);
  }
  if (ids.length === 0 || ids.length > maxLength) {
    throw new UserError(
      `a text has from 1 to ${maxLength} tokens, not ${ids.length}; give fewer ids, or the text itself`,
    );
  }
  return { inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) };
}
