import type { BaseFormat } from "../architectures/base-format.ts";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { loadBaseModel } from "../base-models/load-base-model-node.ts";
import { untunedAdapter } from "../base-models/untuned-adapter-node.ts";
import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { nodeRuntime, type RuntimePlace } from "../runtime/runtime-node.ts";
import { Runtime } from "../runtime/session.ts";
import { embeddingKind } from "../tasks/task-kinds.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

/**
 * Loads a base model that embeds texts without training, with the pooling of its folder (default: the mean of its tokens).
 * @param model a folder, the bundled model's name, or `owner/name[@revision]` on the hub
 * @param base storage format of its weights (default: float32)
 * @returns model for {@link FineTunedModel.embed}; release it after use
 * @throws UserError if the model is missing, damaged or not supported.
 */
export async function loadEmbedder(
  model: string = BUNDLED_MODEL,
  place: Runtime | RuntimePlace = {},
  { base: format, ...hub }: HubOptions & { base?: BaseFormat | undefined } = {},
): Promise<FineTunedModel> {
  const adapter = await untunedAdapter(model, { ...hub, kind: embeddingKind().name });
  const base = await loadBaseModel(model, adapter.description.task, 0, { ...hub, format });
  return FineTunedModel.adapt(base, adapter, place instanceof Runtime ? place : nodeRuntime(place));
}
