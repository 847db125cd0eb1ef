/** A line of a text, with its number from 1. */
export interface Line {
  line: number;
  content: string;
}

export const isBlank = (content: string): boolean => content.trim() === "";

/** Splits a text that arrives in pieces into its lines: those that are not blank, or all but an empty last one. */
export class LineSplitter {
  readonly #everyLine: boolean;
  #begun = "";
  #line = 0;

  constructor(everyLine = false) {
    this.#everyLine = everyLine;
  }

  /** Returns the lines that end within the next piece. */
  linesOf(piece: string): Line[] {
    const lines = (this.#begun + piece).split("\n");
    this.#begun = lines.pop()!;
    return lines.flatMap((line) => this.#next(line.endsWith("\r") ? line.slice(0, -1) : line));
  }

  /** Returns the lines of the last piece. */
  rest(piece = ""): Line[] {
    const lines = this.linesOf(piece);
    return this.#begun === "" ? lines : [...lines, ...this.#next(this.#begun)];
  }

  #next(content: string): Line[] {
    this.#line++;
    return this.#everyLine || !isBlank(content) ? [{ line: this.#line, content }] : [];
  }
}
