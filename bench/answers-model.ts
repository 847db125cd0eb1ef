import { initialParameters, layerWeights } from "../src/inference/fitted-adapter.ts";
import { loadBaseModel } from "../src/inference/load-base-model-node.ts";
import { lora } from "../src/methods/lora.ts";
import type { BaseFormat } from "../src/models/base-format.ts";

/** A language model of a GGUF file with a LoRA adapter (r = 8) that has not learned anything. */
export async function modelWithLora(file: string, format: BaseFormat) {
  const base = await loadBaseModel(file, { kind: "language-model", labels: [] }, 0, { format });
  const adaptation = lora.adapt(lora.options.parse({}), base.trace.modules);
  return { base, adaptation, parameters: initialParameters(adaptation, 1, layerWeights(base)) };
}
