import type { WriteStream } from "node:tty";

/** Redrawn at most this often, milliseconds: a tiny model does hundreds of steps a second. */
const INTERVAL = 100;
const CLEAR_BELOW = "\x1b[J";

/** Lines at the bottom of a terminal that change in their place, under those that stay. */
export class StatusLines {
  readonly #terminal: WriteStream;
  #lines: readonly string[] = [];
  /** What stands on the terminal now; its cursor is at the end of the last. */
  #drawn: readonly string[] = [];
  #drawnAt = 0;

  constructor(terminal: WriteStream) {
    this.#terminal = terminal;
  }

  /** Shows other lines in place of those before, sooner or later. */
  set(lines: readonly string[]): void {
    this.#lines = lines;
    if (Date.now() - this.#drawnAt >= INTERVAL) this.#terminal.write(this.#erasing() + this.#drawing());
  }

  /** Writes a line that stays above them, however wide. */
  log(line: string): void {
    this.#terminal.write(`${this.#erasing()}${line}\n${this.#drawing()}`);
  }

  /** Leaves the latest lines where they are. */
  end(): void {
    if (this.#lines.length > 0) this.#terminal.write(`${this.#erasing()}${this.#drawing()}\n`);
    this.#lines = [];
    this.#drawn = [];
  }

  /** To the first of the drawn lines, counting rows of now: a terminal made narrower has wrapped them. */
  #erasing(): string {
    const rows = this.#drawn.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / this.#columns)), 0);
    return `\r${rows > 1 ? `\x1b[${rows - 1}A` : ""}${CLEAR_BELOW}`;
  }

  #drawing(): string {
    // A full last column would put the cursor into a row that some terminals have and others not.
    this.#drawn = this.#lines.map((line) => line.slice(0, this.#columns - 1));
    this.#drawnAt = Date.now();
    return this.#drawn.join("\n");
  }

  get #columns(): number {
    return this.#terminal.columns || 80;
  }
}
