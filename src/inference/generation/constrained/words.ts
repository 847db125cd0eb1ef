const encoder = new TextEncoder();

export interface Branch {
  readonly byte: number;
  readonly low: number;
  readonly high: number;
}

/**
 * A set of texts that is read as a tree: rows that share a beginning are next to each other, so a place in the tree is a range of
 * rows and a number of bytes, and nothing is stored for it.
 */
export class Words {
  /** Without repeats, in the order of their UTF-16 code units. */
  readonly texts: readonly string[];
  readonly #bytes: Uint8Array;
  readonly #starts: readonly number[];

  constructor(texts: readonly string[]) {
    this.texts = texts.length === 1 ? texts : [...new Set(texts)].sort();
    const joined = this.texts.join("");
    this.#bytes = encoder.encode(joined);
    let start = 0;
    // Most texts have as many bytes as letters.
    const isAscii = this.#bytes.length === joined.length;
    const starts = this.texts.map((text) => {
      start += isAscii ? text.length : encoder.encode(text).length;
      return start;
    });
    this.#starts = [0, ...starts];
  }

  get size(): number {
    return this.#bytes.length;
  }

  /** Bytes of the shortest text of the rows from `low` up to, but not including, `high`. */
  shortest(low: number, high: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let row = low; row < high; row++) least = Math.min(least, this.#starts[row + 1]! - this.#starts[row]!);
    return least;
  }

  divide(low: number, high: number, at: number): { branches: Branch[]; ends: boolean } {
    const branches: Branch[] = [];
    // A text that begins others comes before them.
    const ends = low < high && this.#starts[low + 1]! - this.#starts[low]! === at;
    let first = ends ? low + 1 : low;
    for (let row = first; row < high; row++) {
      const byte = this.#bytes[this.#starts[row]! + at]!;
      if (row + 1 < high && this.#bytes[this.#starts[row + 1]! + at] === byte) continue;
      branches.push({ byte, low: first, high: row + 1 });
      first = row + 1;
    }
    return { branches, ends };
  }
}
