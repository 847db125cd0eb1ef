import { UserError } from "../errors.ts";
import { columnOf, namedColumns, type Table, textOf } from "../tasks/rows.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { fileFormat, readTable } from "./read-table-node.ts";
import { readExamples } from "./table-node.ts";
import type { OnRead } from "./text-pieces-node.ts";

/**
 * Reads the texts of a file, one for each line or row that is not blank, like {@link titledTexts}.
 * @param column of the text in a file with columns (default: `text`)
 * @throws UserError if the file cannot be read or has no such column.
 */
export async function readTexts(file: string, column = "text", onRead?: OnRead): Promise<string[]> {
  const format = await fileFormat(file);
  const table = await readTable(file, format, { onRead });
  return titledTexts(table, format === "lines" ? "text" : column);
}

/**
 * Reads the inputs of a kind of model, like {@link readTexts}; for pictures and sounds their paths, from a folder or a
 * file.
 * @throws UserError if the file or the folder cannot be read, has none, or contains them itself.
 */
export async function readInputs(
  file: string,
  column: string | undefined,
  { name, reads }: Pick<TaskKind, "name" | "reads">,
  onRead?: OnRead,
): Promise<string[]> {
  if (reads === undefined) return readTexts(file, column, onRead);
  const examples = await readExamples(file, namedColumns({ text: column }), name, []);
  if (examples.some(({ bytes }) => bytes !== undefined)) {
    throw new UserError(`${file} holds its ${reads} itself; save them as files, because each vector belongs to a path`);
  }
  return examples.map(({ text }) => text);
}

/** Returns a table's texts, each after its `title`, if there is such a further column (the layout of BEIR, arXiv 2104.08663). */
export function titledTexts(table: Table, column: string): string[] {
  const titles = column !== "title" && table.columns.includes("title") ? columnOf(table, "title") : undefined;
  return columnOf(table, column).map((cell, row) =>
    [titles ? textOf(titles.at(row)!) : "", textOf(cell)].filter(Boolean).join(" "),
  );
}
