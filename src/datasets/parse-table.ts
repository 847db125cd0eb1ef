import { UserError } from "../errors.ts";
import { list, type Table } from "../tasks/rows.ts";
import { isBlank, type Line, LineSplitter } from "./lines.ts";
import { PackedRows } from "./packed-rows.ts";
import { CsvParser, type CsvRow } from "./parse-csv.ts";

export interface TableOptions {
  /** Column names of a `tsv` file that has no header. */
  header?: readonly string[] | undefined;
  /** Whether to skip `tsv` rows with too few fields instead of throwing. */
  skipShort?: boolean | undefined;
  /** Whether blank lines are rows of empty cells, so that every line is a row, as predictions need it. */
  everyLine?: boolean;
}

/** Format of a file of rows. */
export type TableFormat = "csv" | "tsv" | "jsonl" | "conll" | "lines";

const formats: Record<string, TableFormat> = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".conll": "conll",
  ".bio": "conll",
  ".iob": "conll",
  ".iob2": "conll",
  ".txt": "lines",
};

/**
 * Returns the format by a file's extension.
 * @param others extensions of formats that are read elsewhere, for the message
 * @throws UserError if the extension is not known.
 */
export function tableFormat(file: string, others: readonly string[] = []): TableFormat {
  const format = formats[/\.[^./\\]*$/.exec(file)?.[0].toLowerCase() ?? ""];
  if (!format)
    throw new UserError(
      `${file}: unknown kind of file; its name must end in ${list([...Object.keys(formats), ...others])}`,
    );
  return format;
}

/** Rows of a format, read from pieces of text. */
interface RowParser {
  /** Columns of the rows so far. */
  readonly columns: readonly string[];
  /** Returns the rows that end within the next piece. */
  rowsOf(piece: string): TextRow[];
  /** Returns the rows of the last piece. */
  rest(piece: string): TextRow[];
}

/** A row as it is parsed. */
interface TextRow {
  line: number;
  cells: readonly unknown[];
}

/**
 * Reads a table from a file's text, which may arrive in pieces:
 * - `csv`: quoted if necessary, with a header; semicolons or tabs separate cells if the header has no comma;
 * - `tsv`: as in GLUE, quotes are text;
 * - `jsonl`: one JSON object per line; the columns are all keys that occur;
 * - `conll`: one word per line with its tag last, a blank line between sentences → columns `text` and `label`, both
 * arrays; no `label` if the lines are words only;
 * - `lines`: one text per line → column `text`.
 *
 * Blank lines, and rows of `csv` and `jsonl` files without a value in any cell, are skipped, except with `everyLine`.
 */
export class TableReader {
  readonly #file: string;
  readonly #parser: RowParser;
  readonly #rows = new PackedRows();
  readonly #everyLine: boolean;
  #isEmpty = true;
  #skipped = 0;

  /** @param file name for error messages */
  constructor(file: string, format: TableFormat, options: TableOptions = {}) {
    this.#file = file;
    this.#parser = parsers[format](file, options);
    this.#everyLine = options.everyLine ?? false;
  }

  /** Number of rows so far. */
  get length(): number {
    return this.#rows.length;
  }

  /** Reads the next piece. @throws UserError if a row does not fit the header. */
  read(piece: string): void {
    this.#isEmpty &&= this.#everyLine ? piece === "" : isBlank(piece);
    this.#add(this.#parser.rowsOf(piece));
  }

  /** Reads the last piece, and returns the table. @throws UserError like {@link read}, and if there are no rows. */
  rest(piece = ""): Table {
    this.#isEmpty &&= this.#everyLine ? piece === "" : isBlank(piece);
    if (this.#isEmpty) throw new UserError(`${this.#file} is empty`);
    this.#add(this.#parser.rest(piece));
    if (this.#rows.length === 0) throw new UserError(`${this.#file} has no rows, only a header`);
    const { columns } = this.#parser;
    return { source: this.#file, columns, rows: this.#rows.rows(columns.length), skipped: this.#skipped };
  }

  #add(rows: readonly TextRow[]): void {
    for (const { line, cells } of rows) {
      if (this.#everyLine || cells.some(hasValue)) this.#rows.add(line, cells);
      else this.#skipped += 1;
    }
  }
}

const hasValue = (cell: unknown): boolean => cell !== undefined && cell !== null && !isBlank(String(cell));

/**
 * Reads a table from the whole text of a file, like {@link TableReader}.
 * @param file name for error messages
 * @throws UserError if there are no rows, or a row does not fit the header.
 */
export const parseTable = (text: string, file: string, format: TableFormat, options: TableOptions = {}): Table =>
  new TableReader(file, format, options).rest(text);

const parsers: Record<TableFormat, (file: string, options: TableOptions) => RowParser> = {
  csv(file, { everyLine }) {
    const parser = new CsvParser(file);
    const isRow = ({ cells }: CsvRow): boolean => everyLine === true || cells.length > 0;
    const parts = {
      rowsOf: (piece: string) => parser.rowsOf(piece).filter(isRow),
      rest: (piece: string) => parser.rest(piece).filter(isRow),
    };
    return withHeader(parts, file);
  },

  tsv(file, { header, skipShort, everyLine }) {
    const lines = new LineSplitter(everyLine, file);
    const rowsOf = (found: readonly Line[]): CsvRow[] =>
      found.map(({ line, content }) => ({ line, cells: isBlank(content) ? [] : content.split("\t") }));
    const parts = {
      rowsOf: (piece: string) => rowsOf(lines.linesOf(piece)),
      rest: (piece: string) => rowsOf(lines.rest(piece)),
    };
    return withHeader(parts, file, { header, skipShort });
  },

  jsonl(file, { everyLine }) {
    const lines = new LineSplitter(everyLine, file);
    const columns: string[] = [];
    const places = new Map<string, number>();
    const rowOf = ({ line, content }: Line): TextRow => {
      const cells: unknown[] = [];
      for (const [key, value] of Object.entries(jsonObject(content, `${file}, line ${line}`))) {
        if (!places.has(key)) places.set(key, columns.push(key) - 1);
        cells[places.get(key)!] = value;
      }
      return { line, cells };
    };
    return {
      columns,
      rowsOf: (piece) => lines.linesOf(piece).map(rowOf),
      rest: (piece) => lines.rest(piece).map(rowOf),
    };
  },

  conll: (file) => new SentenceParser(file),

  lines(file, { everyLine }) {
    const lines = new LineSplitter(everyLine, file);
    const rowOf = ({ line, content }: Line): TextRow => ({ line, cells: [content] });
    return {
      columns: ["text"],
      rowsOf: (piece) => lines.linesOf(piece).map(rowOf),
      rest: (piece) => lines.rest(piece).map(rowOf),
    };
  },
};

/** Separates the header, the first row with cells, from the rows; a row without cells gets empty ones. */
function withHeader(
  { rowsOf, rest }: { rowsOf(piece: string): CsvRow[]; rest(piece: string): CsvRow[] },
  file: string,
  { header, skipShort = false }: Pick<TableOptions, "header" | "skipShort"> = {},
): RowParser {
  const columns: string[] = header ? columnsOf({ line: 0, cells: [...header] }, file) : [];
  const fitting = (rows: CsvRow[]): CsvRow[] =>
    rows.flatMap((row) => {
      const isEmpty = row.cells.every(isBlank);
      if (columns.length === 0) {
        if (isEmpty) return [];
        columns.push(...columnsOf(row, file));
        return [];
      }
      if (skipShort && row.cells.length < columns.length) return [];
      if (isEmpty) return [{ line: row.line, cells: columns.map(() => "") }];
      checkWidth(row, columns, file);
      return [row];
    });
  return { columns, rowsOf: (piece) => fitting(rowsOf(piece)), rest: (piece) => fitting(rest(piece)) };
}

/** @throws UserError if a line is not a JSON object. */
function jsonObject(content: string, place: string): object {
  let value: unknown;
  try {
    value = isBlank(content) ? {} : JSON.parse(content);
  } catch (error) {
    throw new UserError(`${place}: not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new UserError(`${place}: not a JSON object; write one {"column": value, …} per line`);
}

/** Sentences of a CoNLL file, each of which is a row of words and a row of tags. */
class SentenceParser implements RowParser {
  readonly #file: string;
  readonly #lines: LineSplitter;
  #sentence: { line: number; cells: [string[], string[]] } | undefined;
  #width = 0;
  #previous = 0;

  constructor(file: string) {
    this.#file = file;
    this.#lines = new LineSplitter(false, file);
  }

  get columns(): string[] {
    return this.#width > 1 ? ["text", "label"] : ["text"];
  }

  rowsOf(piece: string): TextRow[] {
    return this.#sentencesOf(this.#lines.linesOf(piece));
  }

  rest(piece: string): TextRow[] {
    const rows = this.#sentencesOf(this.#lines.rest(piece));
    return this.#sentence ? [...rows, this.#sentence] : rows;
  }

  /** Returns the sentences that end before the last of these lines. */
  #sentencesOf(lines: readonly Line[]): TextRow[] {
    const ended: TextRow[] = [];
    for (const { line, content } of lines) {
      if (content.startsWith("-DOCSTART-")) continue;
      const fields = content.trim().split(content.includes("\t") ? "\t" : /\s+/);
      this.#width ||= fields.length;
      if (fields.length !== this.#width) {
        throw new UserError(`${this.#file}, line ${line}: ${count(fields)}, but the lines before have ${this.#width}`);
      }
      // A gap in the line numbers is a blank line or a -DOCSTART-, which begins a new sentence.
      if (line !== this.#previous + 1 || !this.#sentence) {
        if (this.#sentence) ended.push(this.#sentence);
        this.#sentence = { line, cells: [[], []] };
      }
      this.#sentence.cells[0].push(fields[0]!);
      this.#sentence.cells[1].push(fields.at(-1)!);
      this.#previous = line;
    }
    return ended;
  }
}

/** Returns the column names of a header. @throws UserError if one occurs twice. */
export function columnsOf({ cells }: CsvRow, file: string): string[] {
  const columns = cells.map((name) => name.trim());
  const twice = columns.find((name, index) => name !== "" && columns.indexOf(name) !== index);
  if (twice !== undefined) throw new UserError(`${file}: the header names the column "${twice}" twice`);
  return columns;
}

/** @throws UserError if a row has cells, but not one for each column. */
export function checkWidth({ line, cells }: CsvRow, columns: readonly string[], file: string): void {
  if (cells.length === 0 || cells.length === columns.length) return;
  const few = cells.length < columns.length;
  throw new UserError(
    `${file}, line ${line}: ${count(cells)}, too ${few ? "few" : "many"}: the header has ${columns.length} (${list(columns)})`,
  );
}

function count(fields: readonly string[]): string {
  return fields.length === 1 ? "1 field" : `${fields.length} fields`;
}
