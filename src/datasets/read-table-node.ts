import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import type { Table } from "../tasks/rows.ts";
import { decodeText } from "./decode-text.ts";
import { parseTable, type TableFormat, type TableOptions, tableFormat } from "./parse-table.ts";

/** Format of a file of rows: text, or Apache Parquet. */
export type FileFormat = TableFormat | "parquet";

/**
 * Returns the format of a file of rows by its extension.
 * @throws UserError if there is no such file, it is a folder, or its extension is not known.
 */
export async function fileFormat(file: string): Promise<FileFormat> {
  const found = await stat(file).catch(() => undefined);
  if (!found) throw new UserError(`no such file: ${file}`);
  if (!found.isDirectory()) return /\.parquet$/i.test(file) ? "parquet" : tableFormat(file, [".parquet"]);
  throw new UserError(
    `${file} is a folder, but a file of texts is needed; only models of pictures or sounds read folders`,
  );
}

/**
 * Reads a file's rows with {@link parseTable}, or those of a Parquet file with `readParquet`.
 * @throws UserError if the file cannot be read, is not UTF-8, has no rows, or a row does not fit the header.
 */
export async function readTable(file: string, format: FileFormat, options: TableOptions = {}): Promise<Table> {
  if (format === "parquet") return (await import("./parquet-node.ts")).readParquet(file, [file]);
  return parseTable(await readText(file), file, format, options);
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") throw new UserError(`no such file: ${file}`);
    throw new UserError(`cannot read ${file}: ${message}`);
  }
  return decodeText(bytes, file);
}
