import { UserError } from "../errors.ts";

/** A row of a CSV file; an empty line has no cells. */
export interface CsvRow {
  /** Line where the row begins, from 1. */
  line: number;
  cells: string[];
}

const QUOTE = '"';
const lineBreak = /\r\n|\n|\r/g;

/** Number of characters of a row from which an open quote counts as never closed, if a file is read in pieces. */
const LONGEST_ROW = 2 ** 24;

/**
 * Parses CSV by RFC 4180 and common practice, in pieces: cells are quoted if necessary, a quote within an unquoted cell is text,
 * lines end in any of the three ways, and without a comma in the first line, semicolons or tabs separate cells.
 */
export class CsvParser {
  readonly #file: string;
  #delimiter: string | undefined;
  /** Text that may continue in the next piece. */
  #text = "";
  #line = 1;

  /** @param file name for error messages */
  constructor(file: string) {
    this.#file = file;
  }

  /** Returns the rows that end within the next piece. @throws UserError if a row is too long for a quoted cell. */
  rowsOf(piece: string): CsvRow[] {
    const rows = this.#parse(this.#text + piece, false);
    if (this.#text.length > LONGEST_ROW) throw this.#unclosed();
    return rows;
  }

  /** Returns the rows of the last piece. @throws UserError if a quote is never closed. */
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

  /** @param last whether the text's end is the file's */
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
      // A row at the end of a piece may continue in the next, if only with the second character of a line break.
      if (!cell || (!last && at >= text.length)) break;
      // A line break may have a second character.
      if (text[at - 1] === "\r" && text[at] === "\n") at++;
      const row = text.slice(start, at);
      rows.push({ line: this.#line, cells: /^[\r\n]*$/.test(row) ? [] : cells });
      this.#line += row.match(lineBreak)?.length ?? 0;
    }
    this.#text = text.slice(start);
    return rows;
  }
}

/** Returns the delimiter in the first non-empty line; spreadsheets in many countries write semicolons. */
function delimiterOf(text: string): string {
  const first = /[^\r\n]+/.exec(text)?.[0].replace(/"[^"]*"/g, "") ?? "";
  return [",", ";", "\t"].find((candidate) => first.includes(candidate)) ?? ",";
}

/** Parses the whole text of a file like {@link CsvParser}. @throws UserError if a quote is never closed. */
export const parseCsv = (text: string, file: string): CsvRow[] => new CsvParser(file).rest(text);

interface CsvCell {
  value: string;
  /** Position after the cell. */
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
    // A doubled quote is a quote; one that closes nothing is text.
    value += text.slice(from, quote + 1);
    from = quote + (next === QUOTE ? 2 : 1);
  }
}
