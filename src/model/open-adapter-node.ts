import { existsSync } from "node:fs";
import { join } from "node:path";
import type { HubOptions } from "../model-files/hub-repository-node.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { Adapter } from "./adapter.ts";
import { loadAdapter } from "./adapter-folder-node.ts";
import { PEFT_CONFIG } from "./peft/peft-files.ts";
import { readPeftAdapter } from "./peft/read-node.ts";

/** Source of an adapter's base model. */
export interface BaseOptions extends HubOptions {
  /** Base model that replaces the one that the adapter names. */
  model?: string | undefined;
  /** Storage format (default: float32, or that of training if float32 does not fit in memory). A writer keeps the 4-bit numbers of a GGUF file. */
  base?: BaseFormat | undefined;
}

/**
 * Reads an adapter: that of a run folder, an adapter folder of aflora, or an adapter of Hugging Face PEFT.
 * @throws UserError if there is none, it is damaged, or (PEFT) it does not fit the base model.
 */
export async function openAdapter(directory: string, options: BaseOptions = {}): Promise<Adapter> {
  if (existsSync(join(directory, PEFT_CONFIG))) return readPeftAdapter(directory, options);
  const inRun = join(directory, "adapter");
  const adapter = await loadAdapter(existsSync(join(inRun, "adapter.json")) ? inRun : directory);
  if (options.model === undefined) return adapter;
  const { revision, ...description } = adapter.description;
  return { ...adapter, description: { ...description, model: options.model } };
}
