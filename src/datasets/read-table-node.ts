import { stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import type { Table } from "../tasks/rows.ts";
import { type TableFormat, type TableOptions, TableReader, tableFormat } from "./parse-table.ts";
import { type OnRead, textPieces } from "./text-pieces-node.ts";

/** Format of a file of rows: text, or Apache Parquet. */
export type FileFormat = TableFormat | "parquet";

/**
 * Returns the format of a file of rows by its extension.
 * @throws UserError if there is no such file, it is a folder, or its extension is not known.
 */
export async function fileFormat(file: string): Promise<FileFormat> {
  const found = await stat(file).catch(() => undefined);
  if (!found) throw new UserError(`no such file: ${file}`, { code: "file-not-found" });
  if (!found.isDirectory()) return /\.parquet$/i.test(file) ? "parquet" : tableFormat(file, [".parquet"]);
  throw new UserError(
    `${file} is a folder, but a file of texts is needed; only models of pictures or sounds read folders`,
  );
}

/**
 * Reads a file's rows with a {@link TableReader}, or those of a Parquet file with `readParquet`.
 * @throws UserError if the file cannot be read, is not UTF-8, has no rows, or a row does not fit the header.
 */
export async function readTable(
  file: string,
  format: FileFormat,
  options: TableOptions & { onRead?: OnRead | undefined } = {},
): Promise<Table> {
  if (format === "parquet") return (await import("./parquet-node.ts")).readParquet(file, [file], options.onRead);
  const reader = new TableReader(file, format, options);
  for await (const piece of textPieces(file, options.onRead)) reader.read(piece);
  return reader.rest();
}
