/**
 * Extend aflora with parts of your own: methods, kinds of task, model families, devices and export formats.
 *
 * {@link registerMethod}, {@link registerTaskKind}, {@link registerArchitecture}, {@link registerDevice} and
 * {@link registerExportFormat} add a part to this process; options, the command line and adapters then know its name. The other exports
 * help to write such a part: {@link ops} on values of a graph, losses, initial values, and the types of all of them.
 * @module aflora/extend
 */

export type {
  Architecture,
  DecoderArchitecture,
  EncoderArchitecture,
  EncoderDecoderArchitecture,
  Head,
  HeadName,
  Heads,
  KindHead,
  ModelConfig,
  OwnHead,
} from "./architectures/architecture.ts";
export { type AttentionOptions, attention, causalBias, maskBias } from "./architectures/attention.ts";
export { labelCountOf, parseConfig } from "./architectures/config.ts";
export { registerArchitecture } from "./architectures/families.ts";
export type { DenseOptions, DropoutLayer, ForwardContext, ForwardHooks } from "./architectures/forward-context.ts";
export type { HeadFeatures } from "./architectures/heads.ts";
export type { LengthTable, TableAxis } from "./architectures/length-table.ts";
export type { LinearModule, ModuleRole, PictureSize, SoundWindows, WeightSpec } from "./architectures/model-parts.ts";
export type { Pooling, PoolingMode } from "./architectures/pooling.ts";
export type { RotaryPositions } from "./architectures/rotary.ts";
export type {
  AttendedHeads,
  Encoded,
  KeyStream,
  StreamInputs,
  TokenStream,
} from "./architectures/streams/token-stream.ts";
export type { ModelTrace } from "./architectures/trace.ts";
export type { Adapter, AdapterDescription } from "./base-models/adapter.ts";
export type { BaseModel, HeadTask } from "./base-models/base-model.ts";
export type { FittedAdapter } from "./base-models/fitted-adapter.ts";
export type { MediaReader } from "./base-models/read-media.ts";
export type { ModelFiles } from "./checkpoints/model-files.ts";
export type { ExportAgreement, ExportFormat, ExportJob } from "./export/export-format.ts";
export { type ExportFormats, registerExportFormat } from "./export/export-formats-node.ts";
export type { ByteSource } from "./files/byte-source.ts";
export type { Dimension, Shape } from "./graph/dimension.ts";
export type {
  Attributes,
  AttributeValue,
  Graph,
  GraphNode,
  Leaf,
  LeafKind,
  OnnxEmitter,
  OnnxNodeOptions,
  Op,
  Provenance,
  RowsOf,
  Value,
} from "./graph/graph.ts";
export type { NumberBlocks } from "./graph/number-blocks.ts";
export type { LinearFormat, MatrixShape, StoredWeight, TableFormat, WeightFormat } from "./graph/ops/weight-format.ts";
/** Operations on values of a graph, with which a method writes its layers, a family its forward pass and a kind its loss. */
export * as ops from "./graph/ops.ts";
export {
  type ArrayOfType,
  type DataType,
  float32,
  int32,
  type Tensor,
  type TensorData,
  type Tensors,
} from "./graph/tensor.ts";
export type { Augmentation } from "./inputs/augment-picture.ts";
export type { ChatTemplate, ChatTemplateOptions, TextSpan } from "./inputs/chat-template.ts";
export type { Encoding, SpecialToken, Tokenizer, WordEncoding } from "./inputs/tokenizer.ts";
export type { FreezableMatrix, FreezeRule, FreezingState } from "./methods/freezing/controller.ts";
export type { FreezeCurve } from "./methods/freezing/schedule.ts";
export type { FreezeScore } from "./methods/freezing/score.ts";
export { constant, type Initializer, kaimingUniform, normal } from "./methods/initializers.ts";
export type { LowRank } from "./methods/low-rank.ts";
export type {
  Adapt,
  Adaptation,
  AdapterParameter,
  FrozenBlocks,
  MethodDefinition,
  MethodStart,
  MethodState,
  RunLength,
  Schedule,
} from "./methods/method.ts";
export type { MethodOptions, WithMethod } from "./methods/method-options.ts";
export { registerMethod } from "./methods/methods.ts";
export type { NamedLayer, PeftAdapter, PeftForm, PeftLayer, PeftReading, PeftTranslation } from "./methods/peft.ts";
export type { PublishedSetting, PublishedSettings } from "./methods/published.ts";
export { selectModules } from "./methods/target-modules.ts";
export type { DataOptions } from "./runs/fine-tune-config.ts";
export type { CompiledGraph, KeptTensor } from "./runtime/compiled-graph.ts";
export type { Device, DeviceFacts, Devices, PageDevice, System } from "./runtime/device.ts";
export { registerDevice } from "./runtime/devices.ts";
export type { OnnxRuntime } from "./runtime/onnx-runtime.ts";
export type { CompileOptions } from "./runtime/session.ts";
export type { BuiltInPredictions, TaskOptions, TaskPredictions, TextPrediction } from "./tasks/built-in-kinds.ts";
export type {
  DataOrigin,
  EvaluationSplit,
  Example,
  HeldOut,
  ModelInput,
  PictureInput,
  Prediction,
  SoundInput,
  TaskData,
} from "./tasks/example.ts";
export type { Finding } from "./tasks/findings.ts";
export type { HeldOutSearch } from "./tasks/held-out-search.ts";
export type { ClassifiedText } from "./tasks/kinds/classification.ts";
export type { EmbeddedText } from "./tasks/kinds/embedding.ts";
export type { MultiLabelledText } from "./tasks/kinds/multi-label.ts";
export type { ScoredText } from "./tasks/kinds/regression.ts";
export type { RewardedText } from "./tasks/kinds/reward.ts";
export type { EntityPrediction, TaggedText, WordPrediction } from "./tasks/kinds/token-classification.ts";
export type { List } from "./tasks/list.ts";
export {
  binaryCrossEntropy,
  crossEntropy,
  indexCrossEntropy,
  type LinearLoss,
  type Objective,
  squaredError,
} from "./tasks/losses/objective.ts";
export type { Media } from "./tasks/media.ts";
export type { PairScores } from "./tasks/metrics/pair-scores.ts";
export type { SearchOutcome } from "./tasks/metrics/retrieval-metrics.ts";
export type { LabelProbability } from "./tasks/probabilities.ts";
/** Functions that read cells of tables, such as a kind's labels. */
export * as rows from "./tasks/rows.ts";
export type { RerankedText } from "./tasks/scored-pairs.ts";
export type {
  AnsweredPrompt,
  EncodedExample,
  EvaluationDetails,
  HuggingFaceForm,
  Metric,
  ModelSize,
  Readout,
  ReadText,
  Recognition,
  Retrieval,
  Review,
  Rollout,
  RolloutSettings,
  TableReading,
  Targets,
  TaskKind,
  TaskOptionValues,
  TextInput,
  ThresholdOption,
  TrainingExample,
  Writing,
} from "./tasks/task-kind.ts";
export { registerTaskKind } from "./tasks/task-kinds.ts";
export { sequenceClassification, textsOf, wholeText } from "./tasks/whole-text.ts";
export type { TextLikelihood } from "./tasks/written-tokens.ts";
export type { MemoryEstimate } from "./training/memory-estimate.ts";
export type { Novelty } from "./training/novelty/novelty.ts";
