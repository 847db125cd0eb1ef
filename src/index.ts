/**
 * Fine-tune transformer models from TypeScript, on your own machine, with adaptive freezing of low-rank adapters.
 *
 * {@link fineTune} trains and writes a run folder, {@link loadFineTunedModel} predicts with it, {@link evaluateRun} measures
 * it, {@link exportRun} writes it for PEFT, Transformers and Transformers.js, {@link readRunRecords} and {@link writeReport}
 * show what happened. {@link FreezingController} is the paper's method alone, without models or training, and
 * {@link BlockController} its like for whole blocks.
 * {@link registerMethod}, {@link registerTaskKind} and {@link registerArchitecture} add a method, a kind of task and a
 * family of models of your own.
 *
 * Mistakes that the caller can mend are thrown as {@link UserError}: one sentence that names what, where and what to do.
 * @module
 */

export type { ByteSource } from "./checkpoints/byte-source.ts";
export type { GgmlType } from "./checkpoints/gguf/ggml-types.ts";
export type { DownloadProgress } from "./checkpoints/hub-download-node.ts";
export type { HubOptions } from "./checkpoints/hub-repository-node.ts";
export type { ModelFiles, WeightFormat } from "./checkpoints/model-files.ts";
export type { StoredType } from "./checkpoints/stored-values.ts";
export type { TensorInfo, TensorSource } from "./checkpoints/tensor-source.ts";
export { UserError } from "./errors.ts";
export type { ExportReport } from "./export/export-adapter-node.ts";
export type { ExportAgreement, ExportFormat, ExportJob, QuantizedAgreement } from "./export/export-format.ts";
export { type ExportFormats, type ExportOptions, registerExportFormat } from "./export/export-formats-node.ts";
export type { Dimension, Shape } from "./graph/dimension.ts";
export type { Attributes, AttributeValue, Graph, Leaf, LeafKind, Provenance, Value } from "./graph/graph.ts";
/** Operations on values of a graph: what a method of your own writes its layers with, and a family its forward pass. */
export * as ops from "./graph/ops.ts";
export { type DataType, float32, int32, type Tensor, type TensorData, type Tensors } from "./graph/tensor.ts";
export type { Adapter, AdapterDescription } from "./inference/adapter.ts";
export { AdapterHost, type AddOptions } from "./inference/adapter-host.ts";
export type { BaseModel, FormatChoice } from "./inference/base-model.ts";
export { BUNDLED_MODEL } from "./inference/bundled-model.ts";
export {
  type ComputeOptions,
  FineTunedModel,
  type PredictionInput,
  type TextOrTokens,
} from "./inference/fine-tuned-model.ts";
export { type GenerationOptions, generationOptions } from "./inference/generation/generation-options.ts";
export { type LoadedBaseModel, loadBaseModel, type RecordedBase } from "./inference/load-base-model-node.ts";
export { loadEmbedder } from "./inference/load-embedder-node.ts";
export type { Answer, AnswerEnd, AnswerOptions } from "./inference/write-answers.ts";
export type { ChatEndpoint } from "./labels/chat-client.ts";
export { classifyByLabels, type LabelScore } from "./labels/classify-by-labels.ts";
export {
  type LabelByModelOptions,
  type LabelVote,
  labelByModel,
  type TextVerdict,
} from "./labels/label-by-model.ts";
export type { NamedLabel } from "./labels/named-labels.ts";
export { type BlockCheck, BlockController, type BlockControllerState } from "./methods/freezing/block-controller.ts";
export type { BlockRuleName, BlockRuleState, BlockSchedule, FreezableBlock } from "./methods/freezing/block-rules.ts";
export {
  type FreezableMatrix,
  type FreezeRule,
  type FreezingCheck,
  type FreezingConfig,
  FreezingController,
  type FreezingState,
} from "./methods/freezing/controller.ts";
export {
  defaultFreezeSchedule,
  type FreezeCurve,
  type FreezeSchedule,
  frozenFraction,
} from "./methods/freezing/schedule.ts";
export type { FreezeScore } from "./methods/freezing/score.ts";
export { constant, type Initializer, kaimingUniform, normal } from "./methods/initializers.ts";
export type { LowRank } from "./methods/low-rank.ts";
export type {
  Adapt,
  Adaptation,
  AdapterParameter,
  FrozenBlocks,
  MethodDefinition,
  MethodState,
  RunLength,
  Schedule,
} from "./methods/method.ts";
export type { MethodOptions, WithMethod } from "./methods/method-options.ts";
export { registerMethod } from "./methods/methods.ts";
export type { NamedLayer, PeftAdapter, PeftForm, PeftLayer, PeftReading, PeftTranslation } from "./methods/peft.ts";
export type { PublishedSetting, PublishedSettings } from "./methods/published.ts";
export { selectModules } from "./methods/target-modules.ts";
export type {
  Architecture,
  DecoderArchitecture,
  EncoderArchitecture,
  EncoderDecoderArchitecture,
  Head,
  HeadName,
  Heads,
  ModelConfig,
} from "./models/architecture.ts";
export { type AttentionOptions, attention, causalBias, maskBias } from "./models/attention.ts";
export type { BaseFormat } from "./models/base-format.ts";
export { labelCountOf, parseConfig } from "./models/config.ts";
export { MODEL_TYPES, registerArchitecture } from "./models/families.ts";
export type { DenseOptions, ForwardContext } from "./models/forward-context.ts";
export type { LengthTable, TableAxis } from "./models/length-table.ts";
export type { LinearModule, ModuleRole } from "./models/model-parts.ts";
export type { Pooling } from "./models/pooling.ts";
export type { Encoded, KeyStream, TokenStream } from "./models/streams/token-stream.ts";
export { writeReport } from "./reports/report.ts";
export {
  fineTuneWithReport as fineTune,
  type ReportedRunOptions as FineTuneOptions,
  type ReportedRunOutcome,
} from "./reports/reported-run.ts";
export { startWatchServer, type WatchServer } from "./reports/watch-server.ts";
export type { DataFingerprint } from "./runs/data-fingerprint.ts";
export { type EvaluationSource, evaluateRun, type RunEvaluation, type ScoredAnswer } from "./runs/evaluate-run.ts";
export { exportRun, type RunExportReport } from "./runs/export-run.ts";
export type { FineTuneOutcome, RunStart } from "./runs/fine-tune.ts";
export type { FineTuneConfig, RunOptions } from "./runs/fine-tune-config.ts";
export { loadFineTunedModel } from "./runs/load-fine-tuned-model.ts";
export type { RunMemory } from "./runs/memory-fit.ts";
export { type BaseOptions, openAdapter } from "./runs/open-adapter.ts";
export { type RunRecords, readFinishedRun, readRunRecords } from "./runs/read-run.ts";
export type {
  EvaluationRecord,
  FreezingRecord,
  FrozenBlocksResult,
  MetricsRecord,
  RunResult,
  ScoresRecord,
  StepRecord,
} from "./runs/records.ts";
export type { DataSource, RunConfig, RunSettings } from "./runs/run-config.ts";
export {
  evaluateSearch,
  type QueryOutcome,
  type SearchEvaluation,
  type SearchEvaluationOptions,
} from "./runs/search/evaluate-search.ts";
export type { Device, DeviceFacts, DeviceName, Devices, System } from "./runtime/device.ts";
export { registerDevice } from "./runtime/devices.ts";
export type { OnnxRuntime } from "./runtime/onnx-runtime.ts";
export { availableDevices, nodeRuntime } from "./runtime/runtime-node.ts";
export { CompiledGraph, KeptTensor, Runtime, type RuntimeOptions } from "./runtime/session.ts";
export type { DataOrigin, EvaluationSplit, Example, HeldOut, Prediction, TaskData } from "./tasks/example.ts";
export type { HeldOutSearch } from "./tasks/held-out-search.ts";
export type { ClassifiedText } from "./tasks/kinds/classification.ts";
export type { EmbeddedText } from "./tasks/kinds/embedding.ts";
export type { MultiLabelledText } from "./tasks/kinds/multi-label.ts";
export type { ScoredText } from "./tasks/kinds/regression.ts";
export type { RerankedText } from "./tasks/kinds/reranker.ts";
export type { EntityPrediction, Span, TaggedText, WordPrediction } from "./tasks/kinds/token-classification.ts";
export {
  binaryCrossEntropy,
  crossEntropy,
  indexCrossEntropy,
  type Objective,
  squaredError,
} from "./tasks/losses/objective.ts";
export { type AnswerScores, type ScoringOptions, scoreAnswers } from "./tasks/metrics/answers.ts";
export type { PairScores } from "./tasks/metrics/pair-scores.ts";
export { type RougeScores, rouge } from "./tasks/metrics/rouge.ts";
export type { LabelProbability } from "./tasks/probabilities.ts";
export type { AskedConversation, Prompt } from "./tasks/prompt.ts";
/** Cells of tables: what a kind of task of your own reads its labels with. */
export * as rows from "./tasks/rows.ts";
export type {
  EncodedExample,
  EvaluationDetails,
  HuggingFaceForm,
  Metric,
  ModelSize,
  Readout,
  TableReading,
  Targets,
  TaskKind,
  TaskOptionValues,
  TextInput,
  TrainingExample,
} from "./tasks/task-kind.ts";
export { registerTaskKind, type TextPrediction } from "./tasks/task-kinds.ts";
export type { TaskOptions } from "./tasks/task-options.ts";
export type { TaskPredictions } from "./tasks/task-predictions.ts";
export { sequenceClassification, textsOf, wholeText } from "./tasks/whole-text.ts";
export type { TextLikelihood } from "./tasks/written-tokens.ts";
export {
  type ChatMessage,
  ChatTemplate,
  type ChatTemplateOptions,
  type TextSpan,
} from "./tokenization/chat-template.ts";
export type { Encoding, SpecialToken, Tokenizer, WordEncoding } from "./tokenization/tokenizer.ts";
export type { HeadChoice } from "./trainer/head.ts";
export type { FineTuningSettings, MethodChoice } from "./trainer/training-options.ts";
