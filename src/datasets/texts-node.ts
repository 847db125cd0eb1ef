import { columnOf, textOf } from "../tasks/rows.ts";
import { tableFormat } from "./parse-table.ts";
import { readTable } from "./read-table-node.ts";

/**
 * The texts of a file, one for each line or row, blank ones among them.
 * @param column of the text in a file with columns; `text` where absent
 * @throws UserError where the file cannot be read or has no such column.
 */
export async function readTexts(file: string, column = "text"): Promise<string[]> {
  const format = tableFormat(file);
  const table = await readTable(file, format, { everyLine: true });
  return columnOf(table, format === "lines" ? "text" : column).map(textOf);
}
