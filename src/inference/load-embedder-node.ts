import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { head } from "../methods/head.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import { embedding } from "../tasks/kinds/embedding.ts";
import type { AdapterDescription } from "./adapter.ts";
import { BUNDLED_MODEL } from "./bundled-model.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";
import { loadBaseModel } from "./load-base-model-node.ts";

/** Most tokens of a text, where the model's folder does not say. */
const MAX_LENGTH = 256;

/**
 * Loads a base model that embeds texts as it is, without training: pooled as its folder says, else the mean of its tokens.
 * @param model a folder, the bundled model's name, or `owner/name[@revision]` on the hub
 * @returns a model that makes vectors of texts, which {@link FineTunedModel.embed} asks; release it
 * @throws UserError where the model is missing, damaged or not supported.
 */
export async function loadEmbedder(
  model: string = BUNDLED_MODEL,
  runtime: Runtime = nodeRuntime(),
  hub: HubOptions = {},
): Promise<FineTunedModel> {
  const task = { name: "custom", kind: embedding.name, labels: [], metrics: [] };
  const base = await loadBaseModel(model, task, 0, hub);
  const description: AdapterDescription = {
    format: "aflora-adapter",
    model: base.name,
    modelType: base.config.modelType,
    method: head.name,
    methodOptions: {},
    task,
    maxLength: Math.min(base.pooling?.maxLength ?? MAX_LENGTH, base.config.maxLength),
  };
  return FineTunedModel.adapt(base, { description, parameters: new Map() }, runtime);
}
