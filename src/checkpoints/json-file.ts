import { UserError } from "../errors.ts";
import { readText } from "./byte-source.ts";
import type { ModelFiles } from "./model-files.ts";

/**
 * Reads and parses a JSON file.
 * @returns undefined where there is no such file; null only where the file says so.
 * @throws UserError where the file cannot be read or is not JSON.
 */
export async function readJson(files: ModelFiles, name: string): Promise<unknown> {
  const source = await files.open(name);
  return source && parseJson(await readText(source), source.location);
}

/** @param location for error messages. @throws UserError where the text is not JSON. */
export function parseJson(text: string, location: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${location} is not valid JSON: ${(error as Error).message}`);
  }
}
