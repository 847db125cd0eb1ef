/**
 * Use fine-tuned models: classes, scores, tags, vectors and texts, from a run, an adapter or an exported folder. This entrance has no
 * code for training, reports or servers, and contacts the hub only if a model is there.
 *
 *     import { loadFineTunedModel } from "aflora/predict";
 *     const model = await loadFineTunedModel("runs/tickets");
 *     const { label } = await model.predict("My card was charged twice");
 *     await model.release();
 *
 * `aflora/predict/web` does the same without native code, from bytes or addresses.
 * @module aflora/predict
 */

import type { BaseFormat } from "./architectures/base-format.ts";
import type { HubOptions } from "./checkpoints/hub-repository-node.ts";
import type { FineTunedModel } from "./inference/fine-tuned-model.ts";
import type { LoadOptions } from "./inference/load-fine-tuned-model-node.ts";
import type { RuntimePlace } from "./runtime/runtime-node.ts";
import type { Runtime } from "./runtime/session.ts";

export { UserError, type UserErrorCode } from "./errors.ts";
export type { ComputeOptions, FineTunedModel } from "./inference/fine-tuned-model.ts";
export type { LoadOptions } from "./inference/load-fine-tuned-model-node.ts";
export type { PredictionInput, TextOrTokens } from "./inference/prediction-input.ts";
export type { Answer, AnswerEnd, AnswerOptions, AnswersOptions } from "./inference/write-answers.ts";
export type { RuntimePlace } from "./runtime/runtime-node.ts";

// A program imports these functions at its start. Each one loads its code, and ONNX Runtime, when the program calls it.

/**
 * Loads a fine-tuned model: the adapter of a run folder, or an adapter folder (of aflora or of Hugging Face PEFT), with its base model; or
 * a folder that `exportRun` wrote as `merged` or `onnx`, or the path of an ONNX file in one. `owner/name[@revision]` is fetched from the hub
 * if there is no such folder.
 * @param place a runtime, or the device and the threads of a new one (default: all cores of the CPU)
 * @throws UserError if the adapter or the base model is missing or damaged, the base model's files have changed, or they do not fit
 * @example
 * ```ts
 * const model = await loadFineTunedModel("runs/tickets");
 * const [prediction] = await model.predict(["My card was charged twice"]);
 * console.log(prediction?.label);
 * await model.release();
 * ```
 */
export async function loadFineTunedModel(
  name: string,
  place?: Runtime | RuntimePlace,
  options?: LoadOptions,
): Promise<FineTunedModel> {
  const { loadFineTunedModel: load } = await import("./inference/load-fine-tuned-model-node.ts");
  return load(name, place, options);
}

/**
 * Loads a base model that embeds texts, without training: pooled as its folder says, otherwise by the mean of its tokens.
 * @param model a folder, the bundled model's name (the default), or `owner/name[@revision]` on the hub
 * @param place a runtime, or the device and the threads of a new one (default: all cores of the CPU)
 * @param options `base`: storage format of its weights (default: float32)
 * @returns a model that makes vectors of texts with {@link FineTunedModel.embed}; release it after use
 * @throws UserError if the model is missing, damaged or not supported
 * @example
 * ```ts
 * const encoder = await loadEmbedder();
 * const [vector] = await encoder.embed(["My card was charged twice"]);
 * await encoder.release();
 * ```
 */
export async function loadEmbedder(
  model?: string,
  place?: Runtime | RuntimePlace,
  options?: HubOptions & { base?: BaseFormat | undefined },
): Promise<FineTunedModel> {
  const { loadEmbedder: load } = await import("./inference/load-embedder-node.ts");
  return load(model, place, options);
}
