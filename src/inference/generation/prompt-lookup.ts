/** Tokens that must have stood before, in the same order. */
const NGRAM = 3;
/** Most tokens that are proposed at once. */
const MOST = 8;
/** Tokens that are written one by one after proposals that were wrong, doubled each time up to this many. */
const LONGEST_REST = 32;

/**
 * Proposes what may come next: what came after the last tokens where they stood before, in the prompt or the answer (prompt look-up decoding,
 * https://github.com/apoorvumang/prompt-lookup-decoding). Where proposals are wrong there are fewer of them.
 */
export class PromptLookup {
  /** Where the latest of each run of tokens ends, by its tokens. */
  readonly #ends = new Map<string, number>();
  #indexed = NGRAM;
  #length = 3;
  #rest = 0;
  #nextRest = 1;

  /** @param ids what was read and written @param most tokens to propose */
  propose(ids: readonly number[], most: number): readonly number[] {
    // The last tokens themselves are asked for before they are known.
    for (; this.#indexed < ids.length; this.#indexed++) {
      this.#ends.set(ids.slice(this.#indexed - NGRAM, this.#indexed).join(), this.#indexed);
    }
    if (this.#rest > 0) {
      this.#rest--;
      return [];
    }
    const end = this.#ends.get(ids.slice(-NGRAM).join());
    return end === undefined ? [] : ids.slice(end, end + Math.min(this.#length, most));
  }

  /** Takes how many of the tokens that it proposed were right. */
  learn(proposed: number, right: number): void {
    this.#length = Math.min(MOST, right === proposed ? proposed + 2 : right + 1);
    this.#nextRest = right === 0 ? Math.min(LONGEST_REST, 2 * this.#nextRest) : 1;
    this.#rest = right === 0 ? this.#nextRest : 0;
  }
}
