/**
 * Fine-tune transformer models in a web page, without a server. This entrance needs no Node. Use it in a worker, because training
 * blocks its thread.
 *
 * {@link fineTune} reads a model and examples and trains; {@link adapterBytes} returns the files of the adapter, which
 * `aflora predict --adapter` reads from a folder, and {@link FineTunedModel} predicts with the adapter.
 *
 * Errors that the caller can fix are thrown as {@link UserError}: one sentence that names the problem, its place, and what to do.
 * @module aflora/web
 */

export { type Adapter, adapterBytes, readAdapter } from "./base-models/adapter.ts";
export { type BaseOptions, type FormatChoice, readBaseModel, type StoredWeights } from "./base-models/base-model.ts";
export type { Decoders } from "./base-models/media-reader.ts";
export { ggufFiles } from "./checkpoints/gguf/gguf-files.ts";
export { type ModelFiles, memoryFiles, urlFiles } from "./checkpoints/model-files.ts";
export { UserError, type UserErrorCode } from "./errors.ts";
export { blobSource } from "./files/byte-source.ts";
export { FineTunedModel } from "./inference/fine-tuned-model.ts";
export type { DecodePicture } from "./inputs/image-processor.ts";
export type { RawPicture } from "./inputs/resize-picture.ts";
export type { DecodeSound, RawSound } from "./inputs/wav.ts";
export type { MethodDefinition } from "./methods/method.ts";
export type { MethodOptions } from "./methods/method-options.ts";
export { registerMethod } from "./methods/methods.ts";
export {
  fineTuneEventsInPage as fineTuneEvents,
  fineTuneInPage as fineTune,
  type PageFineTuneConfig as FineTuneConfig,
  type PageFineTuneOptions as FineTuneOptions,
  type PageFineTuneOutcome as FineTuneOutcome,
  type PageRunControl as RunControl,
  type PageRunEnd as RunEnd,
  type PageRunEvent as RunEvent,
  type PageRunStart as RunStart,
  type TableText,
} from "./preparation/fine-tune-in-page.ts";
export type { FinishedRun } from "./preparation/prepare-run.ts";
export { pageDevices, type WebPlace, webRuntime } from "./runtime/runtime-web.ts";
export { Runtime } from "./runtime/session.ts";
export type { TaskOptions, TaskPredictions } from "./tasks/built-in-kinds.ts";
export type { TaskKind } from "./tasks/task-kind.ts";
export { registerTaskKind } from "./tasks/task-kinds.ts";
export type { Evaluation } from "./training/evaluation/evaluate.ts";
export type { CheckpointEvent, NoteEvent, TrainingEnd, TrainingEvent } from "./training/events.ts";
export type { AdamWState } from "./training/optimizer/adamw.ts";
export type { TrainingState } from "./training/training-state.ts";
