/**
 * Fine-tune transformer models from TypeScript, on your own machine, with adaptive freezing of low-rank adapters.
 *
 * {@link fineTune} trains and writes a run folder, {@link loadFineTunedModel} predicts with it, {@link evaluateRun} measures it,
 * {@link exportRun} writes it for PEFT, Transformers and Transformers.js, {@link readRunRecords} and {@link writeReport} show how it
 * trained. {@link FreezingController} is the paper's method alone, without models or training.
 *
 * `aflora/extend` is for authors of methods, kinds of task, model families, devices and export formats.
 *
 * Errors that the caller can fix are thrown as {@link UserError}: one sentence that names the problem, its place, and what to do.
 * @module aflora
 */

export { loadBaseModel, openAdapter } from "./adapters.ts";
export type { BaseFormat } from "./architectures/base-format.ts";
export { BUNDLED_MODEL } from "./base-models/bundled-model.ts";
export type { BaseOptions } from "./base-models/open-adapter-node.ts";
export type { DownloadProgress } from "./checkpoints/hub-download-node.ts";
export type { HubOptions } from "./checkpoints/hub-repository-node.ts";
export { UserError, type UserErrorCode } from "./errors.ts";
export type { ExportReport } from "./export/export-adapter-node.ts";
export type { ExportOptions } from "./export/export-formats-node.ts";
// A program that imports only this entrance can write `declare module "aflora/extend"`.
export type {} from "./extend.ts";
export { type FineTuneOptions, fineTune, fineTuneEvents } from "./fine-tune.ts";
export { type ExportSettings, evaluateRun, exportRun, readRunRecords, writeReport } from "./finished-run.ts";
export { AdapterHost } from "./inference/adapter-host.ts";
export type { ComputeOptions, FineTunedModel } from "./inference/fine-tuned-model.ts";
export type { TokenLikelihood } from "./inference/generation/token-likelihood.ts";
export type { LoadOptions } from "./inference/load-fine-tuned-model-node.ts";
export type { PredictionInput, TextOrTokens } from "./inference/prediction-input.ts";
export type { Answer, AnswerEnd, AnswerOptions, AnswersOptions } from "./inference/write-answers.ts";
export type { ChatMessage } from "./inputs/chat-template.ts";
export type { ChatEndpoint } from "./labels/chat-client.ts";
export { classifyByLabels, type LabelScore } from "./labels/classify-by-labels.ts";
export { type LabelByModelOptions, type LabelVote, labelByModel, type TextVerdict } from "./labels/label-by-model.ts";
export type { NamedLabel } from "./labels/named-labels.ts";
export { type FreezingConfig, FreezingController } from "./methods/freezing/controller.ts";
export { loadEmbedder, loadFineTunedModel } from "./predict.ts";
/** Types of the events of a run, and of the files in its folder. */
export type * as records from "./records.ts";
export type { EvaluationSource, RunEvaluation } from "./runs/evaluate-run.ts";
export type { FineTuneConfig, ResumeConfig, RunOptions } from "./runs/fine-tune-config.ts";
export type { FineTuneOutcome, RunControl, RunEvent } from "./runs/fine-tune-events.ts";
export type { RunRecords } from "./runs/read-run.ts";
export type { RunResult } from "./runs/run-result.ts";
export type { DeviceName } from "./runtime/device.ts";
export { nodeRuntime, type RuntimePlace } from "./runtime/runtime-node.ts";
export type { Runtime } from "./runtime/session.ts";
export { scoreAnswers } from "./tasks/metrics/answers.ts";
export { rouge } from "./tasks/metrics/rouge.ts";
export type { Prompt } from "./tasks/prompt.ts";
export type { RewardFunction } from "./tasks/reward-functions.ts";
