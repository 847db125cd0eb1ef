import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import type { Table } from "../tasks/rows.ts";
import { decodeText } from "./decode-text.ts";
import { parseTable, type TableFormat, type TableOptions, tableFormat } from "./parse-table.ts";

/** How a file's rows are written: as text, or as Apache Parquet has them. */
export type FileFormat = TableFormat | "parquet";

/**
 * The format of a file of rows, by its ending.
 * @throws UserError where there is no such file, it is a folder, or its ending names no format.
 */
export async function fileFormat(file: string): Promise<FileFormat> {
  const found = await stat(file).catch(() => undefined);
  if (!found) throw new UserError(`no such file: ${file}`);
  if (!found.isDirectory()) return /\.parquet$/i.test(file) ? "parquet" : tableFormat(file, [".parquet"]);
  throw new UserError(
    `${file} is a folder, where a file of texts is needed; only models of pictures or sounds are given folders`,
  );
}

/**
 * Reads a file into rows, as {@link parseTable} parses it, or a parquet file, as `readParquet`.
 * @throws UserError where the file cannot be read, is not UTF-8, has no rows, or a row does not fit the header.
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
