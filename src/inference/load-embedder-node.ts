import type { BaseFormat } from "../architectures/base-format.ts";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { loadBaseModel } from "../base-models/load-base-model-node.ts";
import { untunedAdapter } from "../base-models/untuned-adapter-node.ts";
import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { nodeRuntime, type RuntimePlace } from "../runtime/runtime-node.ts";
import { Runtime } from "../runtime/session.ts";
import { embeddingKind } from "../tasks/task-kinds.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

export async function loadEmbedder(
  model: string = BUNDLED_MODEL,
  place: Runtime | RuntimePlace = {},
  options: HubOptions & { base?: BaseFormat | undefined } = {},
): Promise<FineTunedModel> {
  const { base: format, ...hub } = options;
  const adapter = await untunedAdapter(model, { ...hub, kind: embeddingKind().name });
  const base = await loadBaseModel(model, adapter.description.task, 0, { ...hub, format });
  return FineTunedModel.adapt(base, adapter, place instanceof Runtime ? place : nodeRuntime(place));
}
