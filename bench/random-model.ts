import { initialParameters } from "../src/finetuning/fitted-adapter.ts";
import { float32, int32, type Tensor } from "../src/graph/tensor.ts";
import { randomFor } from "../src/methods/initializers.ts";
import type { MethodDefinition } from "../src/methods/method.ts";
import type { HeadName } from "../src/models/architecture.ts";
import { type BaseFormat, isQuantized, quantizeWeight } from "../src/models/base-format.ts";
import { describeModel, type ModelDescription } from "../src/models/families.ts";
import { defaultHead, isPretrained, type ModelTrace, traceModel } from "../src/models/trace.ts";
import type { TrainingExample } from "../src/tasks/task-kind.ts";
import type { AdaptedModel } from "../src/training/step-graph.ts";

/** Shapes to measure, as config.json gives them. */
export const CONFIGS = {
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

export type ConfigName = keyof typeof CONFIGS;

export const CONFIG_NAMES = Object.keys(CONFIGS) as ConfigName[];

/** A model of random weights: speed does not depend on what they are. */
export interface RandomModel {
  description: ModelDescription;
  trace: ModelTrace;
  head: HeadName;
  labelCount: number;
  weights: Map<string, Tensor<"float32">>;
  /** What stands in place of weights that are not stored in float32. */
  quantized: Map<string, Tensor>;
}

const LABELS = 2;

export function randomModel(name: ConfigName | "bart-large", format: BaseFormat = "float32"): RandomModel {
  const description = describeModel(name === "bart-large" ? BART_LARGE : CONFIGS[name]);
  const head = defaultHead(description.architecture);
  const labelCount = isPretrained(head) ? description.config.vocabularySize : LABELS;
  const trace = traceModel(description, labelCount, head);
  const weights = new Map<string, Tensor<"float32">>();
  const quantized = new Map<string, Tensor>();
  let first = 0;
  for (const spec of trace.weights.values()) {
    const tensor = float32(spec.shape as number[]);
    const { data: values } = tensor;
    // A hash: cheaper than normal numbers, and weights that resembled each other would make scores so far apart that
    // probabilities become denormal, which are slow.
    for (let i = 0; i < values.length; i++) values[i] = hash(i + first) * 2 ** -31 * 0.04;
    first += values.length;
    if (/norm.*weight$/i.test(spec.name)) values.fill(1);
    if (!isQuantized(spec, format)) weights.set(spec.name, tensor);
    else for (const [part, stored] of quantizeWeight(spec, format, tensor)) quantized.set(part, stored);
  }
  return { description, trace, head, labelCount, weights, quantized };
}

/** A 32-bit number with a sign: Wellons' lowbias32 (nullprogram.com/blog/2018/07/31). */
function hash(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

/** The model with a method beside it; its parameters are added to the weights. */
export function adapted(
  model: RandomModel,
  definition: MethodDefinition,
  options: Record<string, unknown> = {},
): AdaptedModel & { weights: Map<string, Tensor<"float32">> } {
  const adaptation = definition.adapt(definition.options.parse(options), model.trace.sites);
  const weights = new Map([...model.weights, ...initialParameters(adaptation, 1)]);
  return {
    ...model.description,
    adaptation,
    labelCount: model.labelCount,
    head: model.head,
    trainsHead: (name) => /^classifier/.test(name),
    weights,
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
