import { readText } from "../files/byte-source.ts";
import { parseJson, refuseLargeJson } from "../files/json.ts";
import type { ModelFiles } from "./model-files.ts";

/**
 * Reads and parses a JSON file.
 * @returns undefined if there is no such file; null only if the file contains `null`.
 * @throws UserError if the file cannot be read or is not JSON.
 */
export async function readJson(files: ModelFiles, name: string): Promise<unknown> {
  const made = files.made?.(name);
  if (made !== undefined) return made;
  const source = await files.open(name);
  if (!source) return undefined;
  refuseLargeJson(source.size, source.location);
  return parseJson(await readText(source), source.location);
}
