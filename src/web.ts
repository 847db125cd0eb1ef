/**
 * Fine-tune transformer models in a web page, without a server: what of aflora needs no Node. Use it in a worker, because
 * training keeps the thread that it runs on.
 *
 * {@link fineTune} reads a model and examples and trains; {@link adapterBytes} gives the files of the adapter, which Node's
 * `aflora predict --adapter` takes as a folder, and {@link FineTunedModel} predicts with it.
 *
 * Mistakes that the caller can mend are thrown as {@link UserError}: one sentence that names what, where and what to do.
 * @module
 */
export { type ByteSource, blobSource } from "./checkpoints/byte-source.ts";
export { ggufFiles } from "./checkpoints/gguf/gguf-files.ts";
export { type ModelFiles, memoryFiles, urlFiles } from "./checkpoints/model-files.ts";
export { UserError } from "./errors.ts";
export { type Adapter, type AdapterDescription, adapterBytes, readAdapter } from "./inference/adapter.ts";
export { type BaseModel, type FormatChoice, readBaseModel } from "./inference/base-model.ts";
export {
  type ComputeOptions,
  FineTunedModel,
  type PredictionInput,
  type TextOrTokens,
} from "./inference/fine-tuned-model.ts";
export type { Answer, AnswerEnd, AnswerOptions } from "./inference/write-answers.ts";
export type { MethodDefinition } from "./methods/method.ts";
export type { MethodOptions } from "./methods/method-options.ts";
export { registerMethod } from "./methods/methods.ts";
export type { DeviceName } from "./runtime/device.ts";
export { pageDevices, webRuntime } from "./runtime/runtime-web.ts";
export { Runtime } from "./runtime/session.ts";
export type { TaskKind } from "./tasks/task-kind.ts";
export { registerTaskKind, type TextPrediction } from "./tasks/task-kinds.ts";
export type { TaskOptions } from "./tasks/task-options.ts";
export type { TaskPredictions } from "./tasks/task-predictions.ts";
export {
  fineTuneInPage as fineTune,
  type PageFineTuneConfig as FineTuneConfig,
  type PageFineTuneOptions as FineTuneOptions,
  type PageFineTuneOutcome as FineTuneOutcome,
  type PageRunStart as RunStart,
  type TableText,
} from "./trainer/fine-tune-in-page.ts";
export type { TrainingEnd } from "./training/events.ts";
export type { MemoryEstimate } from "./training/memory-estimate.ts";
export type { EvaluationRecord, FreezingRecord, StepRecord } from "./training/records.ts";
export type { TrainingState } from "./training/training-state.ts";
