import { UserError } from "../errors.ts";

/** A word begins and ends with a letter, mark or digit and may contain others ("don't", "1.5", "U.S"); a sign is a word of its own. */
const WORD = /[\p{L}\p{M}\p{N}](?:[^\s—–…]*[\p{L}\p{M}\p{N}])?|\S/gu;

export function splitWords(text: string): string[] {
  return text.match(WORD) ?? [];
}

/** Position of each word in its text: `[start, end)` in UTF-16 units, as in JavaScript. */
export function locateWords(text: string, words: readonly string[]): { start: number; end: number }[] {
  let from = 0;
  return words.map((word) => {
    const start = text.indexOf(word, from);
    if (start < 0) throw new UserError(`the word "${word}" is missing, or in another order, in "${text}"`);
    from = start + word.length;
    return { start, end: from };
  });
}
