import { fileFormat, readTable } from "../datasets/read-table-node.ts";
import { csvOf } from "../datasets/write-csv.ts";
import { UserError } from "../errors.ts";
import { writeAtomically } from "../files/atomic-file-node.ts";
import { columnOf, list, type Table, textOf } from "../tasks/rows.ts";

/** Rows of a file, with the text of each. */
export interface TextRows {
  table: Table;
  /** Name of the column with the texts. */
  column: string;
  /** In the order of the rows. */
  texts: string[];
}

/**
 * Reads rows to label: CSV, TSV or JSONL, or a TXT file with one text per line.
 * @param named column of the text (default: `text`, or the only one)
 * @throws UserError if the file cannot be read, has no such column, or several other columns
 */
export async function readTextRows(file: string, named?: string): Promise<TextRows> {
  const format = await fileFormat(file);
  const table = await readTable(file, format);
  const { columns } = table;
  const column = format === "lines" || named === undefined ? defaultColumn(table) : named;
  if (column === undefined) {
    throw new UserError(`${file} has the columns ${list(columns)}; name the text's with --text`);
  }
  return { table, column, texts: columnOf(table, column).map(textOf) };
}

function defaultColumn({ columns }: Table): string | undefined {
  if (columns.includes("text")) return "text";
  return columns.length === 1 ? columns[0] : undefined;
}

/** @throws UserError if the rows already have one of the new columns, or the file is no CSV file */
export function refuseOutput({ table }: TextRows, output: string, added: readonly string[]): void {
  if (!/\.csv$/i.test(output)) throw new UserError(`${output}: rows are written as CSV; name a file.csv`);
  const taken = added.find((name) => table.columns.includes(name));
  if (taken !== undefined) {
    throw new UserError(`${table.source} has a column "${taken}" already; name another with --label, or rename it`);
  }
}

/**
 * Writes rows as CSV, atomically.
 * @param added names of additional columns
 * @param chosen indices of rows, each with its cells in those columns
 */
export async function writeTextRows(
  output: string,
  { table }: TextRows,
  added: readonly string[],
  chosen: readonly (readonly [row: number, cells: readonly unknown[]])[],
): Promise<void> {
  const rows = chosen.map(([row, cells]) => [...table.rows.at(row)!.cells, ...cells]);
  await writeAtomically(output, (file) => file.writeFile(csvOf([[...table.columns, ...added], ...rows])));
}
