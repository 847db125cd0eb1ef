/**
 * Use fine-tuned models where no native code runs: in Node, Deno, Bun, workers at the edge and browsers, on the WebAssembly of
 * `onnxruntime-web`, which is installed beside aflora. Models are read from bytes or from addresses.
 *
 *     import { loadFineTunedModel } from "aflora/predict/web";
 *     const model = await loadFineTunedModel("https://example.org/tickets-onnx");
 *     const { label } = await model.predict("My card was charged twice");
 *
 * @module aflora/predict/web
 */

import type { BaseFormat } from "./architectures/base-format.ts";
import { type ModelFiles, urlFiles } from "./checkpoints/model-files.ts";
import { filesWithOnnx } from "./checkpoints/onnx/one-file.ts";
import type { FineTunedModel } from "./inference/fine-tuned-model.ts";
import { loadFromFiles } from "./inference/load-from-files.ts";
import { answeringRuntime, type WebPlace } from "./runtime/runtime-web.ts";

export { ggufFiles } from "./checkpoints/gguf/gguf-files.ts";
export { type ModelFiles, memoryFiles, urlFiles } from "./checkpoints/model-files.ts";
export { UserError, type UserErrorCode } from "./errors.ts";
export { blobSource } from "./files/byte-source.ts";
export type { ComputeOptions, FineTunedModel } from "./inference/fine-tuned-model.ts";
export type { PredictionInput, TextOrTokens } from "./inference/prediction-input.ts";
export type { Answer, AnswerEnd, AnswerOptions, AnswersOptions } from "./inference/write-answers.ts";
export type { WebPlace } from "./runtime/runtime-web.ts";

/** Parts of a model, and where it computes. */
export interface WebLoadOptions extends WebPlace {
  /** Files or address of an adapter's base model. An exported folder needs none. */
  model?: string | ModelFiles | undefined;
  /**
   * Storage format of an adapter's base model (default: float32); int8 takes a quarter of the memory, int4 an eighth. An exported folder
   * has the format of its file.
   */
  base?: BaseFormat | undefined;
}

/**
 * Loads a fine-tuned model: a folder that `aflora export` wrote as `onnx` or `merged`, or an adapter or a run with its base model.
 * @param from the folder's address, the address of one of its ONNX files, or the files in memory
 * @throws UserError if files are missing or damaged, or adapter and base model do not fit
 * @example
 * ```ts
 * const model = await loadFineTunedModel("https://example.org/tickets-onnx");
 * const { label } = await model.predict("My card was charged twice");
 * ```
 */
export async function loadFineTunedModel(
  from: string | ModelFiles,
  { model, base, ...place }: WebLoadOptions = {},
): Promise<FineTunedModel> {
  const runtime = await answeringRuntime(place);
  return loadFromFiles(filesOf(from), runtime, { model: model === undefined ? undefined : filesOf(model), base });
}

function filesOf(from: string | ModelFiles): ModelFiles {
  if (typeof from !== "string") return from;
  const [, folder, file] = /^(.*?)\/((?:onnx\/)?[^/]+\.onnx)$/.exec(from) ?? [];
  return file === undefined ? urlFiles(from) : filesWithOnnx(urlFiles(folder!), file);
}
