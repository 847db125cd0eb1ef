import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { fileSource, folderFiles } from "./file-source-node.ts";
import { ggufFiles } from "./gguf/gguf-files.ts";
import type { ModelFiles } from "./model-files.ts";
import { type FolderConfig, parseConfig, readModelConfig } from "./model-folder.ts";
import { filesWithOnnx } from "./onnx/one-file.ts";

/**
 * Returns a model's files on the disk: those of a folder, those derived from a GGUF file (its path, or the only one in
 * a folder), or those of an ONNX file's folder (by the file's path).
 */
export async function modelFiles(path: string): Promise<ModelFiles> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new UserError(`there is no model folder ${path}; check the path`);
  if (!found.isDirectory()) {
    if (path.endsWith(".gguf")) return ggufFiles(await fileSource(path));
    if (path.endsWith(".onnx")) return onnxFiles(path);
    throw new UserError(`${path} is a file, but neither a GGUF nor an ONNX file; give the model's folder`);
  }
  const folder = folderFiles(path);
  if (await folder.open("config.json")) return folder;
  const files = (await readdir(path)).filter((name) => name.endsWith(".gguf"));
  if (files.length > 1) {
    throw new UserError(`${path} holds several GGUF files; give one of them: ${files.sort().join(", ")}`);
  }
  return files.length === 1 ? ggufFiles(await fileSource(join(path, files[0]!))) : folder;
}

/** Returns an ONNX file's folder, with config.json beside it or one level above, and no other weights. */
async function onnxFiles(path: string): Promise<ModelFiles> {
  const own = folderFiles(dirname(path));
  const isBeside = (await own.open("config.json")) !== undefined;
  const folder = isBeside ? own : folderFiles(dirname(dirname(resolve(path))));
  const file = isBeside ? basename(path) : `${basename(dirname(resolve(path)))}/${basename(path)}`;
  return filesWithOnnx(folder, file);
}

/**
 * Reads a model's config.json from its folder on the disk, a GGUF file or its own path, without the weights.
 * @throws UserError if it is missing, not JSON or names no model_type.
 */
export async function readFolderConfig(path: string): Promise<FolderConfig> {
  if (!path.endsWith(".json")) return readModelConfig(await modelFiles(path));
  const raw = await readJsonFile(path);
  if (raw === undefined) throw new UserError(`there is no file ${path}; check the path`);
  return parseConfig(raw, path);
}
