import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { fileSource, folderFiles } from "./file-source-node.ts";
import { ggufFiles } from "./gguf/gguf-files.ts";
import { readJsonFile } from "./json-file-node.ts";
import type { ModelFiles } from "./model-files.ts";
import { type FolderConfig, parseConfig, readModelConfig } from "./model-folder.ts";

/** The files of a model on the disk: its folder's, or those that a GGUF file stands for, by its path or alone in a folder. */
export async function modelFiles(path: string): Promise<ModelFiles> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no model folder ${path}; check the path`);
  if (!found.isDirectory()) {
    if (path.endsWith(".gguf")) return ggufFiles(await fileSource(path));
    throw new UserError(`${path} is a file, but not a GGUF file; give the model's folder`);
  }
  const folder = folderFiles(path);
  if (await folder.open("config.json")) return folder;
  const files = (await readdir(path)).filter((name) => name.endsWith(".gguf"));
  if (files.length > 1) {
    throw new UserError(`${path} holds several GGUF files; give one of them: ${files.sort().join(", ")}`);
  }
  return files.length === 1 ? ggufFiles(await fileSource(join(path, files[0]!))) : folder;
}

/**
 * Reads a model's config.json, from its folder on the disk, a GGUF file or by its own path; weights are not looked at.
 * @throws UserError where it is missing, not JSON or names no model_type.
 */
export async function readFolderConfig(path: string): Promise<FolderConfig> {
  if (!path.endsWith(".json")) return readModelConfig(await modelFiles(path));
  const raw = await readJsonFile(path);
  if (raw === undefined) throw new UserError(`there is no file ${path}; check the path`);
  return parseConfig(raw, path);
}
