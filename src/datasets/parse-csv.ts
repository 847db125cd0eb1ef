import { UserError } from "../errors.ts";

/** A row of a CSV file; an empty line has no cells. */
export interface CsvRow {
  /** Line where it starts, from 1. */
  line: number;
  cells: string[];
}

const QUOTE = '"';
const lineBreak = /\r\n|\n|\r/g;

/**
 * Rows of CSV as RFC 4180 has it, and as programs write it: cells are quoted where need be, a quote within an unquoted cell is
 * text, lines end in any of the three ways, and where the first line has no comma its semicolons or tabs part the cells.
 * @param file its name, for error messages
 * @throws UserError where a quote is never closed.
 */
export function parseCsv(text: string, file: string): CsvRow[] {
  return new CsvParser(file).rest(text);
}

/** Characters of a row from which on its quote is taken for one that is never closed, where a file is read in pieces. */
const LONGEST_ROW = 2 ** 24;

/** {@link parseCsv} of a text that comes in pieces. */
export class CsvParser {
  readonly #file: string;
  #delimiter: string | undefined;
  /** What may go on in the next piece. */
  #text = "";
  #line = 1;

  /** @param file its name, for error messages */
  constructor(file: string) {
    this.#file = file;
  }

  /** The rows that end within the next piece. @throws UserError where a row is too long for its quote to be meant. */
  rowsOf(piece: string): CsvRow[] {
    const rows = this.#parse(this.#text + piece, false);
    if (this.#text.length > LONGEST_ROW) throw this.#unclosed();
    return rows;
  }

  /** The rows of the last piece. @throws UserError where a quote is never closed. */
  rest(piece = ""): CsvRow[] {
    const rows = this.#parse(this.#text + piece, true);
    if (this.#text !== "") throw this.#unclosed();
    return rows;
  }

  #unclosed(): UserError {
    return new UserError(
      `${this.#file} is not well-formed CSV: a quote that opens in line ${this.#line} is never closed`,
    );
  }

  /** @param last whether the text's end is the file's, and so its last row's */
  #parse(text: string, last: boolean): CsvRow[] {
    this.#text = text;
    if (this.#delimiter === undefined && !last && !/[^\r\n][\r\n]/.test(text)) return [];
    this.#delimiter ??= delimiterOf(text);
    const delimiter = this.#delimiter;
    const plain = new RegExp(`[^${delimiter}\r\n]*`, "y");
    const rows: CsvRow[] = [];
    let start = 0;
    for (let at = 0; at < text.length; start = at) {
      const cells: string[] = [];
      let cell: CsvCell | undefined;
      for (let more = true; more; at++) {
        cell = text[at] === QUOTE ? quotedCell(text, at, delimiter) : plainCell(text, at, plain);
        if (!cell) break;
        cells.push(cell.value);
        at = cell.end;
        more = text[at] === delimiter;
      }
      // What reaches the end of a piece may go on in the next, if only with the other character of a line's end.
      if (!cell || (!last && at >= text.length)) break;
      // Past one character of the line's end there may be the other.
      if (text[at - 1] === "\r" && text[at] === "\n") at++;
      const row = text.slice(start, at);
      rows.push({ line: this.#line, cells: /^[\r\n]*$/.test(row) ? [] : cells });
      this.#line += row.match(lineBreak)?.length ?? 0;
    }
    this.#text = text.slice(start);
    return rows;
  }
}

/** What parts the cells of the first line that is not empty; spreadsheets in many countries write semicolons. */
function delimiterOf(text: string): string {
  const first = /[^\r\n]+/.exec(text)?.[0].replace(/"[^"]*"/g, "") ?? "";
  return [",", ";", "\t"].find((candidate) => first.includes(candidate)) ?? ",";
}

interface CsvCell {
  value: string;
  /** Where the text goes on after it. */
  end: number;
}

function plainCell(text: string, start: number, pattern: RegExp): CsvCell {
  pattern.lastIndex = start;
  const [value] = pattern.exec(text)!;
  return { value, end: start + value.length };
}

function quotedCell(text: string, start: number, delimiter: string): CsvCell | undefined {
  let value = "";
  for (let from = start + 1; ; ) {
    const quote = text.indexOf(QUOTE, from);
    if (quote < 0) return undefined;
    const next = text[quote + 1];
    if (next === undefined || next === delimiter || next === "\n" || next === "\r") {
      return { value: value + text.slice(from, quote), end: quote + 1 };
    }
    // A doubled quote is one; one that closes nothing is text.
    value += text.slice(from, quote + 1);
    from = quote + (next === QUOTE ? 2 : 1);
  }
}
