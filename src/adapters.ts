import type { BaseFormat } from "./architectures/base-format.ts";
import type { Adapter } from "./base-models/adapter.ts";
import type { BaseModel } from "./base-models/base-model.ts";
import type { BaseOptions } from "./base-models/open-adapter-node.ts";
import type { HubOptions } from "./checkpoints/hub-repository-node.ts";

// A program imports these functions at its start. Each one loads its code when the program calls it.

/**
 * Reads a base model, to put adapters on it with `AdapterHost`.
 * @param name a folder, a GGUF file, the bundled model's name, or `owner/name[@revision]` on the hub
 * @param options `base`: storage format of its weights (default: float32)
 * @throws UserError if the model is missing, damaged or not supported
 * @example
 * ```ts
 * const base = await loadBaseModel(BUNDLED_MODEL);
 * ```
 */
export async function loadBaseModel(
  name: string,
  { base: format, ...hub }: HubOptions & { base?: BaseFormat | undefined } = {},
): Promise<BaseModel> {
  const { loadBaseModel: load } = await import("./base-models/load-base-model-node.ts");
  return load(name, undefined, 0, { ...hub, format });
}

/**
 * Reads the adapter of a run folder, an adapter folder of aflora, or one that Hugging Face PEFT wrote; `owner/name[@revision]` is fetched
 * from the hub if there is no such folder.
 * @throws UserError if there is no adapter, it is damaged, or (PEFT) it does not fit the base model
 * @example
 * ```ts
 * const { description } = await openAdapter("runs/tickets");
 * console.log(description.method, description.task.labels);
 * ```
 */
export async function openAdapter(directory: string, options?: BaseOptions): Promise<Adapter> {
  const { openAdapter: open } = await import("./base-models/open-adapter-node.ts");
  return open(directory, options);
}
