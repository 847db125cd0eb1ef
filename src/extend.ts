/**
 * Extend aflora with parts of your own: methods, kinds of task, model families, devices and export formats.
 *
 * {@link registerMethod}, {@link registerTaskKind}, {@link registerArchitecture}, {@link registerDevice} and
 * {@link registerExportFormat} add a part to this process; options, the command line and adapters then know its name. The other exports
 * are what such a part is written with: {@link ops} on values of a graph, losses, initial values, and the types of all of them.
 * @module
 */

export type { ExportAgreement, ExportFormat, ExportJob } from "./export/export-format.ts";
export { type ExportFormats, registerExportFormat } from "./export/export-formats-node.ts";
export type { Dimension, Shape } from "./graph/dimension.ts";
export type { Graph, Value } from "./graph/graph.ts";
/** Operations on values of a graph: a method's layers, a family's forward pass and a kind's loss are written with them. */
export * as ops from "./graph/ops.ts";
export { type DataType, float32, int32, type Tensor, type TensorData, type Tensors } from "./graph/tensor.ts";
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
export { labelCountOf, parseConfig } from "./models/config.ts";
export { registerArchitecture } from "./models/families.ts";
export type { DenseOptions, ForwardContext } from "./models/forward-context.ts";
export type { LengthTable } from "./models/length-table.ts";
export type { LinearModule, ModuleRole } from "./models/model-parts.ts";
export type { Pooling } from "./models/pooling.ts";
export type { KeyStream, TokenStream } from "./models/streams/token-stream.ts";
export type { Device, DeviceFacts, Devices } from "./runtime/device.ts";
export { registerDevice } from "./runtime/devices.ts";
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
/** Cells of tables: a kind reads its labels with them. */
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
export type { Encoding, Tokenizer } from "./tokenization/tokenizer.ts";
