import { type FileHandle, writeFile } from "node:fs/promises";
import { opt, UserError } from "../errors.ts";
import { writeAtomically } from "../files/atomic-file-node.ts";
import { LazyList, type List } from "../tasks/list.ts";
import { list, type Table } from "../tasks/rows.ts";
import { csvOf } from "./write-csv.ts";

/** Rows of cells in the order of the columns. */
interface WrittenTable {
  columns: readonly string[];
  rows: List<readonly unknown[]>;
}

/** Writers of rows, by file extension. */
const WRITERS: Readonly<Record<string, (file: FileHandle, table: WrittenTable) => Promise<void>>> = {
  ".csv": (file, table) => writeFile(file, inParts(table, csvOf, csvOf([table.columns]))),
  ".jsonl": (file, table) => writeFile(file, inParts(table, linesOf)),
  // A column's type depends on all its cells.
  ".parquet": async (file, { columns, rows }) =>
    file.writeFile((await import("./write-parquet.ts")).parquetOf({ columns, rows: [...rows] })),
};

/** Number of rows that are text at the same time: a JavaScript string holds at most 512 MB. */
const ROWS_AT_ONCE = 1000;

function* inParts(
  { columns, rows }: WrittenTable,
  textOf: (rows: readonly (readonly unknown[])[], columns: readonly string[]) => string,
  head = "",
): Generator<string> {
  yield head;
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
    yield textOf(rows.slice(from, from + ROWS_AT_ONCE), columns);
  }
}

const writerOf = (output: string) => WRITERS[/\.\w+$/.exec(output)?.[0].toLowerCase() ?? ""];

/** @throws UserError if rows cannot be written to a file of this name, or a new column has the name of another one */
export function refuseOutput({ source, columns }: Table, output: string, added: readonly string[]): void {
  if (!writerOf(output)) {
    throw new UserError(
      `${output}: rows are written as CSV, JSONL or parquet; its name must end in ${list(Object.keys(WRITERS))}`,
    );
  }
  const taken = added.find((name) => columns.includes(name));
  if (taken !== undefined) {
    throw new UserError(`${source} has a column "${taken}" already; name another with ${opt("label")}, or rename it`);
  }
}

/**
 * Writes rows of a table with additional cells, as CSV, JSONL or Apache Parquet by the file's extension: all of the file or nothing.
 * @param added names of additional columns
 * @param chosen indices of rows, each with its cells in those columns
 */
export async function writeRows(
  output: string,
  { columns, rows }: Table,
  added: readonly string[],
  chosen: readonly (readonly [row: number, cells: readonly unknown[]])[],
): Promise<void> {
  const written = new LazyList(chosen.length, (i) => {
    const [row, cells] = chosen[i]!;
    return [...rows.at(row)!.cells, ...cells];
  });
  await writeAtomically(output, (file) => writerOf(output)!(file, { columns: [...columns, ...added], rows: written }));
}

const linesOf = (rows: readonly (readonly unknown[])[], columns: readonly string[]): string =>
  rows
    .map((cells) => `${JSON.stringify(Object.fromEntries(columns.map((column, i) => [column, cells[i]])))}\n`)
    .join("");
