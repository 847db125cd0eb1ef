import { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { loadBaseModel } from "../inference/load-base-model-node.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import { formatToAnswer } from "./memory-fit.ts";
import { type BaseOptions, openAdapter } from "./open-adapter.ts";

/**
 * Loads the adapter of a run folder, or an adapter folder (aflora's or Hugging Face PEFT's), and its base model.
 * @throws UserError where either is missing or damaged, the base model's files changed, or they do not fit.
 */
export async function loadFineTunedModel(
  directory: string,
  runtime: Runtime = nodeRuntime(),
  options: BaseOptions = {},
): Promise<FineTunedModel> {
  const adapter = await openAdapter(directory, options);
  const { model, revision, modelFiles, task, base: trained } = adapter.description;
  // Another model may be named on purpose.
  const recorded =
    options.model === undefined ? { fileHashes: modelFiles, whose: `the adapter in ${directory}` } : undefined;
  const format = options.base ?? formatToAnswer(trained);
  const base = await loadBaseModel(model, task, 0, { ...options, format, recorded, ...(revision && { revision }) });
  return FineTunedModel.adapt(base, adapter, runtime);
}
