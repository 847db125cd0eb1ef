import { readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { UserError } from "../errors.ts";
import type { Example } from "../tasks/example.ts";
import type { Table } from "../tasks/rows.ts";
import { type MediaFolderOptions, mediaTable } from "./media-folder.ts";

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() === true;

/** Reads a folder's pictures or sounds. @throws UserError as {@link mediaTable}, and if the folder cannot be read. */
export async function mediaFolder(folder: string, options: Omit<MediaFolderOptions, "placed">): Promise<Table> {
  const found = await readdir(folder, { recursive: true }).catch((error: Error) => {
    throw new UserError(`cannot read ${folder}: ${error.message}`);
  });
  const paths = found.map((path) => path.split(sep).join("/"));
  return mediaTable(folder, paths, { ...options, placed: (path) => join(folder, path) });
}

/** Resolves examples' file paths relative to the file that names them, except for files that it contains. */
export const besideFile = (file: string, examples: readonly Example[]): Example[] =>
  examples.map((example) => ({
    ...example,
    text: example.bytes || isAbsolute(example.text) ? example.text : join(dirname(file), example.text),
  }));
