/**
 * Fine-tune transformer models from TypeScript, on your own machine, with adaptive freezing of low-rank adapters.
 *
 * {@link fineTune} trains and writes a run folder, {@link loadFineTunedModel} predicts with it, {@link evaluateRun} measures
 * it, {@link exportRun} writes it for PEFT, Transformers and Transformers.js, {@link readRunRecords} and {@link writeReport}
 * show what happened. {@link FreezingController} is the paper's method alone, without models or training.
 * {@link registerMethod}, {@link registerTaskKind} and {@link registerArchitecture} add a method, a kind of task and a
 * family of models of your own.
 *
 * Mistakes that the caller can mend are thrown as {@link UserError}: one sentence that names what, where and what to do.
 * @module
 */

export { UserError } from "./errors.ts";
export type { ExportReport } from "./export/export-adapter-node.ts";
export type { ExportFormat, ExportJob } from "./export/export-format.ts";
export { type ExportFormats, type ExportOptions, registerExportFormat } from "./export/export-formats-node.ts";
export { type FineTuneOptions, fineTune } from "./fine-tune.ts";
export type { Dimension, Shape } from "./graph/dimension.ts";
export type { Graph, Value } from "./graph/graph.ts";
/** Operations on values of a graph: what a method of your own writes its layers with, and a family its forward pass. */
export * as ops from "./graph/ops.ts";
export { type DataType, float32, int32, type Tensor, type TensorData, type Tensors } from "./graph/tensor.ts";
export { AdapterHost } from "./inference/adapter-host.ts";
export { FineTunedModel } from "./inference/fine-tuned-model.ts";
export type { GenerationOptions } from "./inference/generation/generation-options.ts";
export { loadEmbedder } from "./inference/load-embedder-node.ts";
export { loadFineTunedModel } from "./inference/load-fine-tuned-model-node.ts";
export type { PredictionInput, TextOrTokens } from "./inference/prediction-input.ts";
export type { Answer, AnswerOptions, AnswersOptions } from "./inference/write-answers.ts";
export type { ChatEndpoint } from "./labels/chat-client.ts";
export { classifyByLabels, type LabelScore } from "./labels/classify-by-labels.ts";
export { type LabelByModelOptions, labelByModel, type TextVerdict } from "./labels/label-by-model.ts";
export type { NamedLabel } from "./labels/named-labels.ts";
export { type FreezingCheck, type FreezingConfig, FreezingController } from "./methods/freezing/controller.ts";
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
export type { MethodOptions } from "./methods/method-options.ts";
export { registerMethod } from "./methods/methods.ts";
export type { PeftTranslation } from "./methods/peft.ts";
export type { PublishedSettings } from "./methods/published.ts";
export { selectModules } from "./methods/target-modules.ts";
export type { Adapter, AdapterDescription } from "./model/adapter.ts";
export type { BaseModel } from "./model/base-model.ts";
export { BUNDLED_MODEL } from "./model/bundled-model.ts";
export { loadBaseModel } from "./model/load-base-model-node.ts";
export { openAdapter } from "./model/open-adapter-node.ts";
export type { DownloadProgress } from "./model-files/hub-download-node.ts";
export type { ModelFiles } from "./model-files/model-files.ts";
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
export { registerArchitecture } from "./models/families.ts";
export type { DenseOptions, ForwardContext } from "./models/forward-context.ts";
export type { LengthTable } from "./models/length-table.ts";
export type { LinearModule, ModuleRole } from "./models/model-parts.ts";
export type { Pooling } from "./models/pooling.ts";
export type { KeyStream, TokenStream } from "./models/streams/token-stream.ts";
export { writeReport } from "./reports/report.ts";
export { type EvaluationSource, evaluateRun, type RunEvaluation, type ScoredAnswer } from "./runs/evaluate-run.ts";
export { exportRun } from "./runs/export-run.ts";
export type { FineTuneConfig } from "./runs/fine-tune-config.ts";
export { fineTuneEvents, type RunEvent, type RunStart } from "./runs/fine-tune-events.ts";
export { readRunRecords } from "./runs/read-run.ts";
export type { EvaluationRecord, FreezingRecord, RunResult, StepRecord } from "./runs/records.ts";
export type { Device, DeviceFacts, DeviceName, Devices } from "./runtime/device.ts";
export { registerDevice } from "./runtime/devices.ts";
export { availableDevices, nodeRuntime } from "./runtime/runtime-node.ts";
export { Runtime } from "./runtime/session.ts";
export type { Example, Prediction, TaskData } from "./tasks/example.ts";
export type { ClassifiedText } from "./tasks/kinds/classification.ts";
export type { EmbeddedText } from "./tasks/kinds/embedding.ts";
export type { MultiLabelledText } from "./tasks/kinds/multi-label.ts";
export type { ScoredText } from "./tasks/kinds/regression.ts";
export type { TaggedText } from "./tasks/kinds/token-classification.ts";
export {
  binaryCrossEntropy,
  crossEntropy,
  indexCrossEntropy,
  type Objective,
  squaredError,
} from "./tasks/losses/objective.ts";
export { scoreAnswers } from "./tasks/metrics/answers.ts";
export type { ConfidenceStep, ReliabilityBin } from "./tasks/metrics/calibration.ts";
export { rouge } from "./tasks/metrics/rouge.ts";
export type { RewardFunction } from "./tasks/reward-functions.ts";
/** Cells of tables: what a kind of task of your own reads its labels with. */
export * as rows from "./tasks/rows.ts";
export type {
  EncodedExample,
  EvaluationDetails,
  HuggingFaceForm,
  Metric,
  Readout,
  RerankedText,
  TableReading,
  Targets,
  TaskKind,
  TextInput,
  TrainingExample,
} from "./tasks/task-kind.ts";
export { registerTaskKind } from "./tasks/task-kinds.ts";
export type { TaskOptions } from "./tasks/task-options.ts";
export type { TaskPredictions } from "./tasks/task-predictions.ts";
export { sequenceClassification, textsOf, wholeText } from "./tasks/whole-text.ts";
export type { TextLikelihood } from "./tasks/written-tokens.ts";
export type { ChatMessage } from "./tokenization/chat-template.ts";
export type { Encoding, Tokenizer } from "./tokenization/tokenizer.ts";
export type { Calibration } from "./training/calibration/calibrate.ts";
