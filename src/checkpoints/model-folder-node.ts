import { stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { folderFiles } from "./file-source-node.ts";
import { readJsonFile } from "./json-file-node.ts";
import { type FolderConfig, parseConfig, readModelConfig } from "./model-folder.ts";

/**
 * Reads a model's config.json, from its folder on the disk or by the file's own path; weights are not looked at.
 * @throws UserError where it is missing, not JSON or names no model_type.
 */
export async function readFolderConfig(path: string): Promise<FolderConfig> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no model folder ${path}; check the path`);
  return found.isDirectory() ? readModelConfig(folderFiles(path)) : parseConfig(await readJsonFile(path), path);
}
