import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BaseFormat } from "../architectures/base-format.ts";
import { HUB_NAME, resolveModel } from "../checkpoints/hub-node.ts";
import { type HubOptions, openRepository } from "../checkpoints/hub-repository-node.ts";
import { UserError, withCode } from "../errors.ts";
import { ADAPTER_DESCRIPTION, ADAPTER_FILES, type Adapter } from "./adapter.ts";
import { loadAdapter } from "./adapter-folder-node.ts";
import { PEFT_CONFIG, PEFT_FILES } from "./peft/peft-files.ts";
import { readPeftAdapter } from "./peft/read-node.ts";

/** Source of an adapter's base model. */
export interface BaseOptions extends HubOptions {
  /** Base model that replaces the one that the adapter names. */
  model?: string | undefined;
  /** Storage format (default: float32, or that of training if float32 does not fit in memory). A writer keeps the 4-bit numbers of a GGUF file. */
  base?: BaseFormat | undefined;
}

/**
 * Folder of a fine-tuned model: the user's own, or the snapshot of the hub's `owner/name[@revision]` in the Hugging
 * Face cache, which downloads missing files: the adapter's or, if there is none, those of a whole model.
 */
export async function tunedModelFolder(name: string, { revision, ...hub }: HubOptions = {}): Promise<string> {
  // With a folder `runs`, `runs/tikcets` is a misspelled run and not the name of an owner's model.
  if (!HUB_NAME.test(name) || existsSync(name) || existsSync(dirname(name))) return name;
  try {
    const { files, fetch } = await openRepository("model", name, hub);
    const adapter = [ADAPTER_FILES, PEFT_FILES].map((names) => names.filter((file) => files.has(file)));
    const found = adapter.find(({ length }) => length > 0);
    return await (found ? fetch(found) : resolveModel(name, hub));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`there is no folder ${name} here, and as a name on the hub: ${error.message}`, {
      cause: error,
    });
  }
}

/**
 * Reads an adapter: that of a run folder, an adapter folder of aflora, or an adapter of Hugging Face PEFT, in a folder
 * or on the hub. If a folder has both forms, aflora's is read: PEFT's has no names of labels.
 */
export const openAdapter = (nameOrFolder: string, options: BaseOptions = {}): Promise<Adapter> =>
  withCode("invalid-model", adapterAt(nameOrFolder, options));

async function adapterAt(nameOrFolder: string, options: BaseOptions): Promise<Adapter> {
  const directory = await tunedModelFolder(nameOrFolder, options);
  const own = [join(directory, "adapter"), directory].find((folder) => existsSync(join(folder, ADAPTER_DESCRIPTION)));
  if (own === undefined && existsSync(join(directory, PEFT_CONFIG))) return readPeftAdapter(directory, options);
  const adapter = await loadAdapter(own ?? directory);
  if (options.model === undefined) return adapter;
  const { revision, ...description } = adapter.description;
  return { ...adapter, description: { ...description, model: options.model } };
}
