import { readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { UserError } from "../errors.ts";
import type { Example } from "../tasks/example.ts";
import type { Table } from "../tasks/rows.ts";
import { type MediaFolderOptions, mediaTable } from "./media-folder.ts";

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

/** A folder's pictures or sounds, as {@link mediaTable}. @throws UserError as it, and where the folder cannot be read. */
export async function mediaFolder(folder: string, options: Omit<MediaFolderOptions, "placed">): Promise<Table> {
  const found = await readdir(folder, { recursive: true }).catch((error: Error) => {
    throw new UserError(`cannot read ${folder}: ${error.message}`);
  });
  const paths = found.map((path) => path.split(sep).join("/"));
  return mediaTable(folder, paths, { ...options, placed: (path) => join(folder, path) });
}

/** Examples with the paths of their files from the folder of the file that names them, but for those that it holds itself. */
export const besideFile = (file: string, examples: readonly Example[]): Example[] =>
  examples.map((example) => ({
    ...example,
    text: example.bytes || isAbsolute(example.text) ? example.text : join(dirname(file), example.text),
  }));
