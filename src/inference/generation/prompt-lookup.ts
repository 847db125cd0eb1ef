/** Fewest and most tokens that are proposed after two that stood before in the same order. */
const [FEWEST, MOST] = [2, 8];

/**
 * Proposes what may come next: what came after the last two tokens where they stood before, in the prompt or the answer (prompt look-up
 * decoding, https://github.com/apoorvumang/prompt-lookup-decoding). Where proposals are wrong they are shorter.
 */
export class PromptLookup {
  /** Where the latest of each token, and of each two, ends, by these. */
  readonly #ends = new Map<string, number>();
  #indexed = 1;
  #length = 3;
  #isGuess = false;

  /**
   * @param ids what was read and written
   * @param most tokens to propose
   * @param guesses whether one token may be proposed that came after the last one alone: it is seldom right
   */
  propose(ids: readonly number[], most: number, guesses = false): readonly number[] {
    const last = (count: number, end = ids.length): string => ids.slice(Math.max(0, end - count), end).join();
    // The last tokens themselves are asked for before they are known.
    for (; this.#indexed < ids.length; this.#indexed++) {
      for (const count of [1, 2]) this.#ends.set(last(count, this.#indexed), this.#indexed);
    }
    const end = this.#ends.get(last(2));
    this.#isGuess = end === undefined;
    const start = end ?? (guesses ? this.#ends.get(last(1)) : undefined);
    return start === undefined ? [] : ids.slice(start, start + Math.min(this.#isGuess ? 1 : this.#length, most));
  }

  /** Takes how many of the tokens that it proposed were right. */
  learn(proposed: number, right: number): void {
    if (this.#isGuess) return;
    this.#length = Math.min(MOST, right === proposed ? proposed + 2 : Math.max(FEWEST, right + 1));
  }
}
