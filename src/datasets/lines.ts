import { UserError } from "../errors.ts";

/** A line of a text, with its number from 1. */
export interface Line {
  line: number;
  content: string;
}

export const isBlank = (content: string): boolean => content.trim() === "";

/** Maximum number of characters of a line: a file of one endless line, such as a JSON array, is not worth reading to its end. */
const MAX_LENGTH = 2 ** 24;

/** Splits a text that arrives in pieces into its lines: those that are not blank, or all but an empty last one. */
export class LineSplitter {
  #begun = "";
  #line = 0;

  /** @param file name for error messages */
  constructor(
    private readonly everyLine = false,
    private readonly file = "stdin",
  ) {}

  /** Returns the lines that end within the next piece. @throws UserError if a line is too long. */
  linesOf(piece: string): Line[] {
    const lines = (this.#begun + piece).split("\n");
    const long = lines.findIndex(({ length }) => length > MAX_LENGTH);
    if (long >= 0) {
      throw new UserError(
        `${this.file}, line ${this.#line + long + 1}: longer than ${MAX_LENGTH.toLocaleString("en-US")} characters; write one row per line`,
      );
    }
    this.#begun = lines.pop()!;
    return lines.flatMap((line) => this.#next(line.endsWith("\r") ? line.slice(0, -1) : line));
  }

  /** Returns the lines of the last piece. @throws UserError like {@link linesOf}. */
  rest(piece = ""): Line[] {
    const lines = this.linesOf(piece);
    return this.#begun === "" ? lines : [...lines, ...this.#next(this.#begun)];
  }

  #next(content: string): Line[] {
    this.#line++;
    return this.everyLine || !isBlank(content) ? [{ line: this.#line, content }] : [];
  }
}
