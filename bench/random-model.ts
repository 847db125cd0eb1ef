import type { HeadName } from "../src/architectures/architecture.ts";
import { type BaseFormat, isQuantized, quantizeWeight, storedLeaves } from "../src/architectures/base-format.ts";
import { describeModel, type ModelDescription } from "../src/architectures/families.ts";
import type { WeightSpec } from "../src/architectures/model-parts.ts";
import { defaultHead, isPretrained, type ModelTrace, traceModel } from "../src/architectures/trace.ts";
import { initialParameters, layerWeights } from "../src/base-models/fitted-adapter.ts";
import { Graph } from "../src/graph/graph.ts";
import { elementsOf, float32, int32, type Tensor } from "../src/graph/tensor.ts";
import { randomFor } from "../src/methods/initializers.ts";
import type { MethodDefinition } from "../src/methods/method.ts";
import { crossEntropy, indexCrossEntropy, type Objective } from "../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../src/tasks/task-kind.ts";
import type { AdaptedModel } from "../src/training/step-graph.ts";

/** Shapes of encoders to measure, as config.json gives them. */
export const ENCODERS = {
  "all-MiniLM-L6-v2": {
    model_type: "bert",
    vocab_size: 30522,
    hidden_size: 384,
    num_hidden_layers: 6,
    num_attention_heads: 12,
    intermediate_size: 1536,
  },
  "bert-base": {
    model_type: "bert",
    vocab_size: 30522,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
  },
  "deberta-v3-base": {
    model_type: "deberta-v2",
    vocab_size: 128100,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    relative_attention: true,
    position_buckets: 256,
    pos_att_type: ["p2c", "c2p"],
    share_att_key: true,
    norm_rel_ebd: "layer_norm",
    position_biased_input: false,
    max_position_embeddings: 512,
    max_relative_positions: -1,
    type_vocab_size: 0,
    layer_norm_eps: 1e-7,
    pooler_hidden_act: "gelu",
    pooler_dropout: 0,
  },
} as const;

/** Shapes of language models, likewise. */
export const DECODERS = {
  "SmolLM2-135M": {
    model_type: "llama",
    vocab_size: 49152,
    hidden_size: 576,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    intermediate_size: 1536,
    max_position_embeddings: 8192,
    rope_theta: 100000,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
  },
  "TinyLlama-1.1B": {
    model_type: "llama",
    vocab_size: 32000,
    hidden_size: 2048,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    intermediate_size: 5632,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
  },
  "LLaMA-7B": {
    model_type: "llama",
    vocab_size: 32000,
    hidden_size: 4096,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    intermediate_size: 11008,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
  },
} as const;

/** The paper's third model: an encoder-decoder, which reads two texts. */
export const BART_LARGE = {
  model_type: "bart",
  vocab_size: 50265,
  d_model: 1024,
  encoder_layers: 12,
  decoder_layers: 12,
  encoder_attention_heads: 16,
  decoder_attention_heads: 16,
  encoder_ffn_dim: 4096,
  decoder_ffn_dim: 4096,
  max_position_embeddings: 1024,
} as const;

export const CONFIGS = { ...ENCODERS, ...DECODERS };

export type EncoderName = keyof typeof ENCODERS;
export type DecoderName = keyof typeof DECODERS;
export type ConfigName = EncoderName | DecoderName;

export const ENCODER_NAMES = Object.keys(ENCODERS) as EncoderName[];
export const CONFIG_NAMES = Object.keys(CONFIGS) as ConfigName[];

/** What steps of a model are measured on. */
export interface MeasuredTask {
  objective: Objective;
  /** So many examples of so many tokens. */
  batchOf(rows: number, length: number): TrainingExample[];
}

/** Encoders tell two classes apart, decoders write the second half of each text. */
export const taskOf = ({ architecture }: ModelDescription): MeasuredTask =>
  architecture.kind === "decoder"
    ? { objective: indexCrossEntropy, batchOf: halfWrittenTexts }
    : { objective: crossEntropy, batchOf };

/** A model of such a shape with the head that it is measured with. */
export interface ModelShape {
  description: ModelDescription;
  head: HeadName;
  labelCount: number;
  trace: ModelTrace;
}

/** The shape of a model of that name: decoders write, the others tell classes apart. */
export function shapeOfModel(name: ConfigName | "bart-large"): ModelShape {
  const description = describeModel(name === "bart-large" ? BART_LARGE : CONFIGS[name]);
  const writes = description.architecture.kind === "decoder";
  const head = writes ? "languageModel" : defaultHead(description.architecture);
  const labelCount = isPretrained(head) ? description.config.vocabularySize : LABELS;
  return { description, head, labelCount, trace: traceModel(description, labelCount, head) };
}

/** A model of random weights: speed does not depend on what they are. */
export interface RandomModel extends ModelShape {
  /** How the backbone's weights are stored. */
  format: BaseFormat;
  weights: Map<string, Tensor<"float32">>;
  /** What stands in place of weights that are not stored in float32. */
  quantized: Map<string, Tensor>;
}

const LABELS = 2;

/** Its weights get their format one by one: those of a large model would not fit into memory in float32. */
export function randomModel(name: ConfigName | "bart-large", format: BaseFormat = "float32"): RandomModel {
  const model = shapeOfModel(name);
  const weights = new Map<string, Tensor<"float32">>();
  const quantized = new Map<string, Tensor>();
  let first = 0;
  for (const spec of model.trace.weights.values()) {
    const packed = drawnPacked(spec, format, first);
    if (packed) for (const [part, stored] of packed) quantized.set(part, stored);
    else if (!isQuantized(spec, format)) weights.set(spec.name, drawn(spec, first));
    else for (const [part, stored] of quantizeWeight(spec, format, drawn(spec, first))) quantized.set(part, stored);
    first += elementsOf(spec.shape as number[]);
  }
  return { ...model, format, weights, quantized };
}

/** @param first number of the draw that its first element is */
function drawn({ name, shape }: WeightSpec, first: number): Tensor<"float32"> {
  const tensor = float32(shape as number[]);
  const { data: values } = tensor;
  // A hash: cheaper than normal numbers, and weights that resembled each other would make scores so far apart that
  // probabilities become denormal, which are slow.
  for (let i = 0; i < values.length; i++) values[i] = hash(i + first) * 2 ** -31 * 0.04;
  if (/norm.*weight$/i.test(name)) values.fill(1);
  return tensor;
}

/** Numbers in 4 bits, drawn as such: to round billions of others would take minutes. Undefined of other weights. */
function drawnPacked(spec: WeightSpec, format: BaseFormat, first: number): [string, Tensor][] | undefined {
  const parts = Object.values(storedLeaves(new Graph(), spec, format)?.parts ?? {});
  if (!parts.some(({ dtype }) => dtype === "uint8")) return undefined;
  return parts.map(({ leaf, dtype, shape }): [string, Tensor] => {
    const size = elementsOf(shape as number[]);
    if (dtype !== "uint8") return [leaf!.name, float32(shape as number[], new Float32Array(size).fill(0.04 / 8))];
    // Groups are 16 bytes: whole numbers of 32 bits.
    const data = new Int32Array(size / 4);
    for (let i = 0; i < data.length; i++) data[i] = hash(i + first);
    return [leaf!.name, { dtype, shape: shape as number[], data: new Uint8Array(data.buffer) }];
  });
}

/** A 32-bit number with a sign: Wellons' lowbias32 (nullprogram.com/blog/2018/07/31). */
function hash(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

/** The model with a method beside it, and all weights: its own, as they are stored, and the method's parameters. */
export function adapted(
  model: RandomModel,
  definition: MethodDefinition,
  options: Record<string, unknown> = {},
): AdaptedModel & { weights: Map<string, Tensor> } {
  const adaptation = definition.adapt(definition.options.parse(options), model.trace.modules);
  return {
    ...model.description,
    format: model.format,
    adaptation,
    head: model.head,
    labelCount: model.labelCount,
    trainsHead: (name) => /^classifier/.test(name),
    weights: new Map<string, Tensor>([
      ...model.weights,
      ...model.quantized,
      ...initialParameters(adaptation, 1, layerWeights(model)),
    ]),
  };
}

/** A batch of `rows` examples of `length` tokens each. */
export function batchOf(rows: number, length: number): TrainingExample[] {
  const random = randomFor(7, "batch");
  const token = (): number => 5 + ((random.next() >>> 0) % 20_000);
  return Array.from({ length: rows }, (_, index) => {
    const encoding = { inputIds: Int32Array.from({ length }, token), tokenTypeIds: new Int32Array(length) };
    return { index, encoding, targets: float32([1, 2], Float32Array.of(1, 0)), weights: Float32Array.of(1) };
  });
}

/** A batch of texts of which the second half is to be written. */
function halfWrittenTexts(rows: number, length: number): TrainingExample[] {
  return batchOf(rows, length).map(({ index, encoding }) => {
    const from = length >> 1;
    const targets = encoding.inputIds.slice(from);
    return {
      index,
      encoding,
      // The output of a token says what comes after it.
      rows: Int32Array.from(targets, (_, i) => from - 1 + i),
      targets: int32([targets.length], targets),
      weights: new Float32Array(targets.length).fill(1),
    };
  });
}

/** The same of two texts: each token of the decoder's is to be foreseen. */
export function textPairs(rows: number, length: number, decoderLength: number): TrainingExample[] {
  const decoders = batchOf(rows, decoderLength);
  return batchOf(rows, length).map(({ index, encoding }, i) => {
    const decoder = decoders[i]!.encoding;
    return {
      index,
      encoding,
      decoder,
      rows: Int32Array.from(decoder.inputIds.keys()),
      targets: int32([decoderLength], decoder.inputIds),
      weights: new Float32Array(decoderLength).fill(1),
    };
  });
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
