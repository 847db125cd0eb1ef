import { UserError } from "../errors.ts";
import { list, type Table } from "../tasks/rows.ts";
import { type CsvRow, parseCsv } from "./parse-csv.ts";

export interface TableOptions {
  /** Column names of a `tsv` file that has no header. */
  header?: readonly string[];
  /** Whether to skip `tsv` rows with too few fields instead of throwing. */
  skipShort?: boolean;
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

/**
 * Parses a file's text:
 * - `csv`: quoted if necessary, with a header; semicolons or tabs separate cells if the header has no comma;
 * - `tsv`: as in GLUE, quotes are text;
 * - `jsonl`: one JSON object per line; the columns are all keys that occur;
 * - `conll`: one word per line with its tag last, a blank line between sentences → columns `text` and `label`, both
 * arrays; no `label` if the lines are words only;
 * - `lines`: one text per line → column `text`.
 *
 * Blank lines, and lines of `csv` files in which every cell is empty, are skipped, except with `everyLine`.
 * @param file name for error messages
 * @throws UserError if there are no rows, or a row does not fit the header.
 */
export function parseTable(text: string, file: string, format: TableFormat, options: TableOptions = {}): Table {
  if (isBlank(text) && !(options.everyLine && text !== "")) throw new UserError(`${file} is empty`);
  const table = { source: file, ...parsers[format](text, file, options) };
  if (table.rows.length === 0) throw new UserError(`${file} has no rows, only a header`);
  return table;
}

type Parser = (text: string, file: string, options: TableOptions) => Omit<Table, "source">;

const parsers: Record<TableFormat, Parser> = {
  csv(text, file, { everyLine }) {
    const [header, ...rows] = fromFirst(parseCsv(text, file), ({ cells }) => cells.length > 0);
    return withHeader([header!, ...rows.filter(({ cells }) => everyLine || !cells.every(isBlank))], file);
  },

  tsv(text, file, { header, skipShort, everyLine }) {
    const lines = fromFirst(linesOf(text, everyLine), ({ content }) => !isBlank(content));
    const rows = lines.map(({ line, content }) => ({ line, cells: isBlank(content) ? [] : content.split("\t") }));
    if (header) rows.unshift({ line: 0, cells: [...header] });
    const width = rows[0]!.cells.length;
    return withHeader(skipShort ? rows.filter(({ cells }) => cells.length >= width) : rows, file);
  },

  jsonl(text, file, { everyLine }) {
    const objects = linesOf(text, everyLine).map(({ line, content }) => {
      let value: unknown;
      try {
        value = isBlank(content) ? {} : JSON.parse(content);
      } catch (error) {
        throw new UserError(`${file}, line ${line}: not valid JSON: ${(error as Error).message}`);
      }
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new UserError(`${file}, line ${line}: not a JSON object; write one {"column": value, …} per line`);
      }
      return { line, fields: new Map(Object.entries(value)) };
    });
    const columns = [...new Set(objects.flatMap(({ fields }) => [...fields.keys()]))];
    return {
      columns,
      rows: objects.map(({ line, fields }) => ({ line, cells: columns.map((column) => fields.get(column)) })),
    };
  },

  conll(text, file) {
    const rows: { line: number; cells: [string[], string[]] }[] = [];
    let width = 0;
    let previous = 0;
    for (const { line, content } of linesOf(text)) {
      if (content.startsWith("-DOCSTART-")) continue;
      const fields = content.trim().split(content.includes("\t") ? "\t" : /\s+/);
      width ||= fields.length;
      if (fields.length !== width) {
        throw new UserError(`${file}, line ${line}: ${count(fields)}, but the lines before have ${width}`);
      }
      // A gap in the line numbers is a blank line or a -DOCSTART-, which begins a new sentence.
      if (line !== previous + 1 || rows.length === 0) rows.push({ line, cells: [[], []] });
      rows.at(-1)!.cells[0].push(fields[0]!);
      rows.at(-1)!.cells[1].push(fields.at(-1)!);
      previous = line;
    }
    return { columns: width > 1 ? ["text", "label"] : ["text"], rows };
  },

  lines(text, _file, { everyLine }) {
    return {
      columns: ["text"],
      rows: linesOf(text, everyLine).map(({ line, content }) => ({ line, cells: [content] })),
    };
  },
};

interface Line {
  line: number;
  content: string;
}

const isBlank = (content: string): boolean => content.trim() === "";

/** Splits a text into numbered lines, from 1: those that are not blank, or all but an empty last one. */
export function linesOf(text: string, everyLine = false): Line[] {
  const lines = text.split(/\r\n|\n/);
  if (everyLine && lines.at(-1) === "") lines.pop();
  return lines
    .map((content, index) => ({ line: index + 1, content }))
    .filter(({ content }) => everyLine || !isBlank(content));
}

const fromFirst = <Row>(rows: readonly Row[], test: (row: Row) => boolean): Row[] => rows.slice(rows.findIndex(test));

/** Separates the header from the rows; a row without cells gets empty ones. */
function withHeader([header, ...rows]: CsvRow[], file: string): Omit<Table, "source"> {
  const columns = columnsOf(header!, file);
  for (const row of rows) checkWidth(row, columns, file);
  const empty = columns.map(() => "");
  return { columns, rows: rows.map(({ line, cells }) => ({ line, cells: cells.length > 0 ? cells : empty })) };
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
