// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with one
const PARTS = /\x1b\[([\d;?]*[A-Za-z])|([\s\S])/g;

/** What a terminal of so many columns shows after a program's output: the sequences that progress bars use, no more. */
export class Screen {
  readonly rows: string[] = [""];
  /** Rows that go on with the one above. */
  readonly #goesOn = new Set<number>();
  #row = 0;
  #column = 0;
  #wraps = true;

  constructor(readonly columns: number) {}

  /** What was written as one line, however many rows it takes. */
  get lines(): string[] {
    const lines: string[] = [];
    this.rows.forEach((row, i) => {
      if (this.#goesOn.has(i)) lines.push(lines.pop()! + row);
      else lines.push(row);
    });
    return lines;
  }

  write(output: string): this {
    for (const [, sequence, character] of output.matchAll(PARTS)) {
      if (sequence === undefined) this.#put(character!);
      else this.#control(sequence);
    }
    return this;
  }

  #put(character: string): void {
    if (character === "\n") {
      this.#row++;
      this.#column = 0;
    } else if (character === "\r") this.#column = 0;
    else {
      if (this.#column === this.columns) {
        if (this.#wraps) {
          [this.#row, this.#column] = [this.#row + 1, 0];
          this.#goesOn.add(this.#row);
        } else this.#column--;
      }
      this.#line();
      const line = this.rows[this.#row]!.padEnd(this.#column);
      this.rows[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
      this.#column++;
    }
    this.#line();
  }

  #control(sequence: string): void {
    const count = Number.parseInt(sequence, 10) || 0;
    if (sequence === "?7l" || sequence === "?7h") this.#wraps = sequence === "?7h";
    else if (sequence.endsWith("A")) this.#row = Math.max(0, this.#row - (count || 1));
    else if (sequence.endsWith("G")) this.#column = (count || 1) - 1;
    else if (sequence.endsWith("K") || sequence.endsWith("J")) {
      this.rows[this.#row] = this.rows[this.#row]!.slice(0, this.#column);
      if (sequence.endsWith("J")) {
        this.rows.length = this.#row + 1;
        for (const row of this.#goesOn) if (row > this.#row) this.#goesOn.delete(row);
      }
    } else if (!sequence.startsWith("?")) throw new Error(`unknown sequence ${sequence}`);
  }

  #line(): void {
    while (this.rows.length <= this.#row) this.rows.push("");
  }
}
