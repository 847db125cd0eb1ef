import { fileFormat, readTable } from "../datasets/read-table-node.ts";
import type { OnRead } from "../datasets/text-pieces-node.ts";
import { opt, UserError } from "../errors.ts";
import { columnOf, list, type Table, textOf } from "../tasks/rows.ts";

export interface TextRows {
  table: Table;
  column: string;
  texts: string[];
}

/**
 * Reads rows to label: CSV, TSV or JSONL, or a TXT file with one text per line.
 * @param named column of the text (default: `text`, or the only one)
 * @throws UserError if the file cannot be read, has no such column, or several other columns
 */
export async function readTextRows(file: string, named?: string, onRead?: OnRead): Promise<TextRows> {
  const format = await fileFormat(file);
  const table = await readTable(file, format, { onRead });
  const { columns } = table;
  const column = format === "lines" || named === undefined ? defaultColumn(table) : named;
  if (column === undefined) {
    throw new UserError(`${file} has the columns ${list(columns)}; name the column of the text with ${opt("text")}`);
  }
  return { table, column, texts: columnOf(table, column).map(textOf) };
}

function defaultColumn({ columns }: Table): string | undefined {
  if (columns.includes("text")) return "text";
  return columns.length === 1 ? columns[0] : undefined;
}
