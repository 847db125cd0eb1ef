import type { FineTunedModel } from "./inference/fine-tuned-model.ts";
import type { Adapter } from "./model/adapter.ts";
import type { BaseModel } from "./model/base-model.ts";
import type { BaseOptions } from "./model/open-adapter-node.ts";
import type { HubOptions } from "./model-files/hub-repository-node.ts";
import type { BaseFormat } from "./models/base-format.ts";
import type { Runtime } from "./runtime/session.ts";

// A program imports these functions at its start. Each one loads its code when the program calls it.

/**
 * Loads the adapter of a run folder, or an adapter folder (of aflora or of Hugging Face PEFT), and its base model.
 * @param runtime default: all cores of the CPU
 * @param options `writes`: whether the model is to write texts, for which a base in fewer bits is faster (default: whether its task
 * is to write)
 * @throws UserError if the adapter or the base model is missing or damaged, the base model's files have changed, or they do not fit
 */
export async function loadFineTunedModel(
  directory: string,
  runtime?: Runtime,
  options?: BaseOptions & { writes?: boolean | undefined },
): Promise<FineTunedModel> {
  const { loadFineTunedModel: load } = await import("./inference/load-fine-tuned-model-node.ts");
  return load(directory, runtime, options);
}

/**
 * Loads a base model that embeds texts, without training: pooled as its folder says, otherwise by the mean of its tokens.
 * @param model a folder, the bundled model's name (the default), or `owner/name[@revision]` on the hub
 * @param options `base`: storage format of its weights (default: float32)
 * @returns a model that makes vectors of texts with {@link FineTunedModel.embed}; release it after use
 * @throws UserError if the model is missing, damaged or not supported
 */
export async function loadEmbedder(
  model?: string,
  runtime?: Runtime,
  options?: HubOptions & { base?: BaseFormat | undefined },
): Promise<FineTunedModel> {
  const { loadEmbedder: load } = await import("./inference/load-embedder-node.ts");
  return load(model, runtime, options);
}

/**
 * Reads a base model, to put adapters on it with `AdapterHost`.
 * @param name a folder, a GGUF file, the bundled model's name, or `owner/name[@revision]` on the hub
 * @param options `base`: storage format of its weights (default: float32)
 * @throws UserError if the model is missing, damaged or not supported
 */
export async function loadBaseModel(
  name: string,
  { base: format, ...hub }: HubOptions & { base?: BaseFormat | undefined } = {},
): Promise<BaseModel> {
  const { loadBaseModel: load } = await import("./model/load-base-model-node.ts");
  return load(name, undefined, 0, { ...hub, format });
}

/**
 * Reads the adapter of a run folder, an adapter folder of aflora, or one that Hugging Face PEFT wrote.
 * @throws UserError if there is no adapter, it is damaged, or (PEFT) it does not fit the base model
 */
export async function openAdapter(directory: string, options?: BaseOptions): Promise<Adapter> {
  const { openAdapter: open } = await import("./model/open-adapter-node.ts");
  return open(directory, options);
}
