import { UserError } from "../errors.ts";
import { columnOf, namedColumns, type Table, textOf } from "../tasks/rows.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { fileFormat, readTable } from "./read-table-node.ts";
import { readExamples } from "./table-node.ts";

/**
 * The texts of a file, one for each line or row, blank ones among them, as {@link titledTexts} has them.
 * @param column of the text in a file with columns; `text` where absent
 * @throws UserError where the file cannot be read or has no such column.
 */
export async function readTexts(file: string, column = "text"): Promise<string[]> {
  const format = await fileFormat(file);
  const table = await readTable(file, format, { everyLine: true });
  return titledTexts(table, format === "lines" ? "text" : column);
}

/**
 * What a model of a kind reads, as {@link readTexts}; of pictures and sounds their paths, of a folder or of the rows of a file.
 * @throws UserError where the file or the folder cannot be read, has none, or holds them itself.
 */
export async function readInputs(
  file: string,
  column: string | undefined,
  { name, reads }: Pick<TaskKind, "name" | "reads">,
): Promise<string[]> {
  if (reads === undefined) return readTexts(file, column);
  const examples = await readExamples(file, namedColumns({ text: column }), name, []);
  if (examples.some(({ bytes }) => bytes)) {
    throw new UserError(`${file} holds its ${reads} itself; save them as files, which vectors are of by their paths`);
  }
  return examples.map(({ text }) => text);
}

/** A table's texts, with what its column `title` has before them, where there is one (the layout of BEIR, arXiv 2104.08663). */
export function titledTexts(table: Table, column: string): string[] {
  const titles = table.columns.includes("title") ? columnOf(table, "title") : undefined;
  return columnOf(table, column).map((cell, row) =>
    [titles ? textOf(titles[row]!) : "", textOf(cell)].filter(Boolean).join(" "),
  );
}
