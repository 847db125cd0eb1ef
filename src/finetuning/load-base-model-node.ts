import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { type HubOptions, resolveModel } from "../checkpoints/hub-node.ts";
import { modelFiles } from "../checkpoints/model-folder-node.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { TaskData } from "../tasks/example.ts";
import { type BaseModel, readBaseModel } from "./base-model.ts";
import { BUNDLED_MODEL } from "./bundled-model.ts";

/** Folder of a model: the bundled one by its name, any other as given. */
export function modelDirectory(name: string): string {
  return name === BUNDLED_MODEL ? fileURLToPath(new URL(`../../assets/${BUNDLED_MODEL}`, import.meta.url)) : name;
}

/**
 * Reads a model, as `readBaseModel` does, from its folder, a GGUF file, the hub (`owner/name[@revision]`) or its cache.
 * @throws UserError where it is no model, not supported, damaged or cannot be fetched.
 */
export async function loadBaseModel(
  name: string,
  task: Pick<TaskData, "kind" | "labels"> | undefined,
  seed: number,
  { format, ...hub }: HubOptions & { format?: BaseFormat | undefined } = {},
): Promise<BaseModel> {
  const directory = name === BUNDLED_MODEL ? modelDirectory(name) : await resolveModel(name, hub);
  const onHub = name !== BUNDLED_MODEL && directory !== name;
  const called = onHub ? { name: name.replace(/@.*$/, ""), revision: basename(directory) } : { name };
  return readBaseModel(await modelFiles(directory), task, seed, { ...called, ...(format && { format }) });
}
