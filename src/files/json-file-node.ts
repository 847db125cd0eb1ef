import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { parseJson, refuseLargeJson } from "../files/json.ts";
import { writeAtomically } from "./atomic-file-node.ts";

/**
 * Reads and parses a JSON file.
 * @returns undefined if there is no such file; null only if the file contains `null`.
 * @throws UserError if the file cannot be read or is not JSON.
 */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new UserError(`${path} is not a file`);
    refuseLargeJson(found.size, path);
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof UserError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`);
  }
  return parseJson(text, path);
}

/**
 * Writes a value as indented JSON, atomically.
 * @throws UserError if the disk is full or the path cannot be written.
 */
export function writeJsonFile(path: string, value: object): Promise<void> {
  return writeAtomically(path, (file) => file.writeFile(`${JSON.stringify(value, null, 2)}\n`));
}
