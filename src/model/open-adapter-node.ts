import { existsSync } from "node:fs";
import { join } from "node:path";
import type { HubOptions } from "../model-files/hub-repository-node.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { Adapter } from "./adapter.ts";
import { loadAdapter } from "./adapter-folder-node.ts";
import { PEFT_CONFIG } from "./peft/peft-files.ts";
import { readPeftAdapter } from "./peft/read-node.ts";

/** Where an adapter's base model comes from. */
export interface BaseOptions extends HubOptions {
  /** Base model to use in place of the one that the adapter names. */
  model?: string | undefined;
  /** How it is stored; where absent in float32 or, where that does not fit into memory, as in training. What writes from a GGUF file has its numbers of 4 bits as they are. */
  base?: BaseFormat | undefined;
}

/**
 * Reads an adapter: a run folder's, an adapter folder of aflora's, or one that Hugging Face PEFT wrote.
 * @throws UserError where there is none, it is damaged, or (PEFT) it does not fit the base model.
 */
export async function openAdapter(directory: string, options: BaseOptions = {}): Promise<Adapter> {
  if (existsSync(join(directory, PEFT_CONFIG))) return readPeftAdapter(directory, options);
  const inRun = join(directory, "adapter");
  const adapter = await loadAdapter(existsSync(join(inRun, "adapter.json")) ? inRun : directory);
  if (options.model === undefined) return adapter;
  const { revision, ...description } = adapter.description;
  return { ...adapter, description: { ...description, model: options.model } };
}
