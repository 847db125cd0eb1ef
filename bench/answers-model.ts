import type { BaseFormat } from "../src/architectures/base-format.ts";
import { initialParameters, layerWeights } from "../src/base-models/fitted-adapter.ts";
import { loadBaseModel } from "../src/base-models/load-base-model-node.ts";
import { CachedDecoder } from "../src/inference/generation/cached-decoder.ts";
import { lora } from "../src/methods/lora.ts";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";

/** A language model of a GGUF file with a LoRA adapter (r = 8) that has not learned anything. */
export async function modelWithLora(file: string, format: BaseFormat) {
  const base = await loadBaseModel(file, { kind: "language-model", labels: [] }, 0, { format });
  const adaptation = lora.adapt(lora.options.parse({}), base.trace.modules);
  return { base, adaptation, parameters: initialParameters(adaptation, 1, layerWeights(base)) };
}

/** The same, compiled to write. */
export async function writerWithLora(file: string, format: BaseFormat, threads?: number) {
  const { base, adaptation, parameters } = await modelWithLora(file, format);
  const model = { ...base, adaptation, trainsHead: () => false };
  const weights = new Map([...base.weights, ...base.quantized, ...parameters]);
  const runtime = nodeRuntime(threads === undefined ? {} : { threads });
  const decoder = await CachedDecoder.compile(model, weights, runtime, { constantAdapter: true });
  return { decoder, parameters, tokenizer: base.tokenizer };
}
