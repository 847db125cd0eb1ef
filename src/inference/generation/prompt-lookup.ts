/** Fewest and most tokens that are proposed after two tokens that occurred before in the same order. */
const [FEWEST, MOST] = [2, 8];

/**
 * Proposes the next tokens: those that followed the last two tokens at their previous occurrence in the prompt or the answer (prompt
 * look-up decoding, https://github.com/apoorvumang/prompt-lookup-decoding). Wrong proposals make later ones shorter.
 */
export class PromptLookup {
  readonly #ends = new Map<string, number>();
  #indexed = 1;
  #length = 3;
  #isGuess = false;

  propose(ids: readonly number[], most: number, guesses = false): readonly number[] {
    const last = (count: number, end = ids.length): string => ids.slice(Math.max(0, end - count), end).join();
    // The last tokens are looked up before they are indexed.
    for (; this.#indexed < ids.length; this.#indexed++) {
      for (const count of [1, 2]) this.#ends.set(last(count, this.#indexed), this.#indexed);
    }
    const end = this.#ends.get(last(2));
    this.#isGuess = end === undefined;
    const start = end ?? (guesses ? this.#ends.get(last(1)) : undefined);
    return start === undefined ? [] : ids.slice(start, start + Math.min(this.#isGuess ? 1 : this.#length, most));
  }

  learn(proposed: number, right: number): void {
    if (this.#isGuess) return;
    this.#length = Math.min(MOST, right === proposed ? proposed + 2 : Math.max(FEWEST, right + 1));
  }
}
