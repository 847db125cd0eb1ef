import type { WriteStream } from "node:tty";
import { withoutControls } from "./print.ts";

/** Minimum milliseconds between two redraws: a tiny model does hundreds of steps per second. */
const INTERVAL = 100;
const CLEAR_BELOW = "\x1b[J";

/** Lines at the bottom of a terminal that change in place, below permanent lines. */
export class StatusLines {
  readonly #terminal: WriteStream;
  #lines: readonly string[] = [];
  /** Lines on the terminal now. The cursor is at the end of the last. */
  #drawn: readonly string[] = [];
  #drawnAt = 0;

  constructor(terminal: WriteStream) {
    this.#terminal = terminal;
  }

  /** Replaces the lines, possibly with a delay. */
  set(lines: readonly string[]): void {
    this.#lines = lines.map(withoutControls);
    if (Date.now() - this.#drawnAt >= INTERVAL) this.#terminal.write(this.#erasing() + this.#drawing());
  }

  /** Prints a permanent line above them. */
  log(line: string): void {
    this.#terminal.write(`${this.#erasing()}${withoutControls(line)}\n${this.#drawing()}`);
  }

  /** Removes them. */
  clear(): void {
    this.#terminal.write(this.#erasing());
    this.#lines = [];
    this.#drawn = [];
  }

  /** Leaves the latest lines on the terminal. */
  end(): void {
    if (this.#lines.length > 0) this.#terminal.write(`${this.#erasing()}${this.#drawing()}\n`);
    this.#lines = [];
    this.#drawn = [];
  }

  /** Moves to the first drawn line. Counts rows at the present width: a terminal that became narrower has wrapped them. */
  #erasing(): string {
    const rows = this.#drawn.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / this.#columns)), 0);
    return `\r${rows > 1 ? `\x1b[${rows - 1}A` : ""}${CLEAR_BELOW}`;
  }

  #drawing(): string {
    // A full last column moves the cursor to the next row on some terminals, but not on others.
    this.#drawn = this.#lines.map((line) => line.slice(0, this.#columns - 1));
    this.#drawnAt = Date.now();
    return this.#drawn.join("\n");
  }

  get #columns(): number {
    return this.#terminal.columns || 80;
  }
}
