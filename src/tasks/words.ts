import { UserError } from "../errors.ts";

/** A word begins and ends with a letter, mark or digit, whatever is within ("don't", "1.5", "U.S"); a sign stands alone. */
const WORD = /[\p{L}\p{M}\p{N}](?:[^\s—–…]*[\p{L}\p{M}\p{N}])?|\S/gu;

/** The words of a text, punctuation apart, as corpora of token classification have them. */
export function splitWords(text: string): string[] {
  return text.match(WORD) ?? [];
}

/**
 * Where each word stands in its text: `[start, end)` in UTF-16 units, as JavaScript counts.
 * @throws UserError where the words are not those of the text, in order.
 */
export function locateWords(text: string, words: readonly string[]): { start: number; end: number }[] {
  let from = 0;
  return words.map((word) => {
    const start = text.indexOf(word, from);
    if (start < 0) throw new UserError(`the word "${word}" is missing, or in another order, in "${text}"`);
    from = start + word.length;
    return { start, end: from };
  });
}
