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
  const delimiter = delimiterOf(text);
  const plain = new RegExp(`[^${delimiter}\r\n]*`, "y");
  const rows: CsvRow[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const start = at;
    const cells: string[] = [];
    for (let more = true; more; at++) {
      const cell = text[at] === QUOTE ? quotedCell(text, at, delimiter) : plainCell(text, at, plain);
      if (!cell)
        throw new UserError(`${file} is not well-formed CSV: a quote that opens in line ${line} is never closed`);
      cells.push(cell.value);
      at = cell.end;
      more = text[at] === delimiter;
    }
    // Past one character of the line's end there may be the other.
    if (text[at - 1] === "\r" && text[at] === "\n") at++;
    const row = text.slice(start, at);
    rows.push({ line, cells: /^[\r\n]*$/.test(row) ? [] : cells });
    line += row.match(lineBreak)?.length ?? 0;
  }
  return rows;
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
