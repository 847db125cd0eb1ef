import { z } from "zod";
import { type Dimension, product } from "../../graph/dimension.ts";
import type { Value } from "../../graph/graph.ts";
import {
  add,
  alignDistances,
  concat,
  gather,
  gemm,
  matmul,
  padTo,
  reshape,
  slice,
  sliceSize,
  sub,
  transpose,
} from "../../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "../activation.ts";
import type { EncoderArchitecture } from "../architecture.ts";
import { maskBias } from "../attention.ts";
import { evenHeads, labelCountOf, parseConfig, rate } from "../config.ts";
import { BERT_NAMES, type BlockAttention, embeddingSum, encoderBlock } from "../encoder.ts";
import type { ForwardContext } from "../forward-context.ts";
import { plainTokenHead } from "../heads.ts";
import type { LengthTable } from "../length-table.ts";
import type { TokenStream } from "../streams/token-stream.ts";

const positionTerm = z.enum(["c2p", "p2c"]);

const schema = z
  .object({
    model_type: z.string(),
    vocab_size: z.int().positive(),
    hidden_size: z.int().positive(),
    embedding_size: z.int().positive().optional(),
    num_hidden_layers: z.int().positive(),
    num_attention_heads: z.int().positive(),
    attention_head_size: z.int().positive().optional(),
    intermediate_size: z.int().positive(),
    hidden_act: z.enum(ACTIVATION_NAMES).default("gelu"),
    hidden_dropout_prob: rate.default(0.1),
    attention_probs_dropout_prob: rate.default(0.1),
    cls_dropout: rate.nullish(),
    max_position_embeddings: z.int().positive().default(512),
    type_vocab_size: z.int().nonnegative().default(0),
    initializer_range: z.number().default(0.02),
    layer_norm_eps: z.number().default(1e-7),
    position_biased_input: z.boolean().default(true),
    relative_attention: z.boolean().default(false),
    max_relative_positions: z.int().default(-1),
    position_buckets: z.int().default(-1),
    norm_rel_ebd: z.enum(["none", "layer_norm"]).default("none"),
    share_att_key: z.boolean().default(false),
    pos_att_type: z
      .preprocess(
        (value) => (typeof value === "string" ? value.split("|").filter(Boolean) : value),
        z.array(positionTerm),
      )
      .nullish(),
    conv_kernel_size: z.union([z.literal(0), z.literal(3)], "only a kernel of 3, or 0 for none").default(0),
    conv_groups: z.literal(1).default(1),
    conv_act: z.enum(ACTIVATION_NAMES).default("tanh"),
    pooler_hidden_act: z.enum(ACTIVATION_NAMES).default("gelu"),
    pooler_dropout: rate.default(0),
    pooler_hidden_size: z.int().positive().optional(),
  })
  .refine((config) => (config.pooler_hidden_size ?? config.hidden_size) === config.hidden_size, {
    path: ["pooler_hidden_size"],
    error: "it must equal hidden_size",
  })
  .refine(
    ({ attention_head_size: size, num_attention_heads: heads, hidden_size: hidden }) =>
      size === undefined || size * heads === hidden,
    { path: ["attention_head_size"], error: "times num_attention_heads it must equal hidden_size" },
  );

const NAMES = {
  ...BERT_NAMES,
  query: "attention.self.query_proj",
  key: "attention.self.key_proj",
  value: "attention.self.value_proj",
};

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  const terms = config.pos_att_type ?? [];
  const farthest = config.max_relative_positions < 1 ? config.max_position_embeddings : config.max_relative_positions;
  const bucketed = config.position_buckets > 0;
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.hidden_size,
    embeddingSize: config.embedding_size ?? config.hidden_size,
    layerCount: config.num_hidden_layers,
    heads: evenHeads(config.hidden_size, config.num_attention_heads),
    intermediateSize: config.intermediate_size,
    activation: config.hidden_act,
    hiddenDropout: config.hidden_dropout_prob,
    attentionDropout: config.attention_probs_dropout_prob,
    maxLength: config.max_position_embeddings,
    firstPosition: 0,
    typeVocabularySize: config.type_vocab_size,
    initializerRange: config.initializer_range,
    layerNormEpsilon: config.layer_norm_eps,
    usesTokenTypes: config.type_vocab_size > 1,
    labelCount: labelCountOf(raw),
    absolutePositions: config.position_biased_input,
    relative:
      config.relative_attention && terms.length > 0
        ? {
            // Each distance from -span to span - 1 has an embedding; with buckets, far distances share theirs.
            span: bucketed ? config.position_buckets : farthest,
            farthest: bucketed ? farthest : undefined,
            normalised: config.norm_rel_ebd === "layer_norm",
            sharedKeys: config.share_att_key,
            contentToPosition: terms.includes("c2p"),
            positionToContent: terms.includes("p2c"),
          }
        : undefined,
    convolution: config.conv_kernel_size > 0 ? config.conv_act : undefined,
    poolerActivation: config.pooler_hidden_act,
    poolerDropout: config.pooler_dropout,
    classifierDropout: config.cls_dropout ?? config.hidden_dropout_prob,
  };
}

type DebertaConfig = ReturnType<typeof readConfig>;
type RelativeConfig = NonNullable<DebertaConfig["relative"]>;

/**
 * DeBERTa-v2 and v3 (arXiv 2006.03654, 2111.09543): blocks like BERT's with disentangled attention; Hugging Face's
 * `modeling_deberta_v2.py`.
 */
export const deberta: EncoderArchitecture<DebertaConfig> = {
  kind: "encoder",
  modelTypes: { "deberta-v2": "DebertaV2" },
  prefix: "deberta",

  readConfig,

  encode(context, config, tokens) {
    const { convolution, embeddingSize, heads, hiddenSize, layerNormEpsilon, relative } = config;
    const sum = embeddingSum(context, config, tokens, { positions: config.absolutePositions });
    const projected =
      embeddingSize === hiddenSize
        ? sum
        : context.dense(sum, "embeddings.embed_proj", embeddingSize, hiddenSize, { bias: false });
    const normalised = context.layerNorm(projected, "embeddings.LayerNorm", layerNormEpsilon);
    const embeddings = context.dropout(normalised, config.hiddenDropout);

    const mask = maskBias(tokens);
    const positions = relative && relativePositions(context, tokens, config, relative);
    const terms = 1 + Number(relative?.contentToPosition ?? 0) + Number(relative?.positionToContent ?? 0);
    const scale = 1 / Math.sqrt((hiddenSize / heads) * terms);
    let x = embeddings;
    for (let block = 0; block < config.layerCount; block++) {
      x = context.block(x, (input) =>
        encoderBlock(context, config, tokens, input, block, {
          names: NAMES,
          scale,
          bias: (attention) => (positions ? add(positions(attention, scale), mask) : mask),
        }),
      );
      if (block === 0 && convolution) x = convolve(context, tokens, config, convolution, embeddings, x);
    }
    return x;
  },

  heads: {
    sequence(context, config, hidden, outputs, tokens) {
      const { hiddenSize } = config;
      const first = context.dropout(tokens.first(hidden), config.poolerDropout);
      const pooled = ACTIVATIONS[config.poolerActivation](context.dense(first, "pooler.dense", hiddenSize, hiddenSize));
      return context.dense(context.dropout(pooled, config.classifierDropout), "classifier", hiddenSize, outputs);
    },
    token: plainTokenHead(({ hiddenDropout }) => hiddenDropout),
  },
};

/**
 * Returns the positional term of a block's scores, `[batch, heads, sequence, sequence]`: content to position `q_i ·
 * key(p(i-j))` and position to content `k_j · query(p(i-j))`, with `p` the embedding of a distance.
 *
 * Only the 2·sequence distances that occur are projected and scored, each query (or key) against all of them. The
 * scores are then aligned, which only moves memory.
 */
function relativePositions(
  context: ForwardContext,
  tokens: TokenStream,
  { heads, hiddenSize, hiddenDropout, layerNormEpsilon }: DebertaConfig,
  relative: RelativeConfig,
): (attention: BlockAttention, scale: number) => Value {
  const { span, normalised, sharedKeys, contentToPosition, positionToContent } = relative;
  const distances: Dimension = product([2, tokens.sequence]);
  const table = context.weight("encoder.rel_embeddings.weight", [2 * span, hiddenSize]);
  const numbers = tokens.table("relativePositions", relativeTable(relative));
  const found = gather(table, numbers);
  const embedded = normalised ? context.layerNorm(found, "encoder.LayerNorm", layerNormEpsilon) : found;

  return ({ query, key, linear, prefix }, scale) => {
    const rows = context.rowDropout(embedded, hiddenDropout, numbers);
    const project = (shared: string, own: string): Value =>
      sharedKeys ? linear(rows, shared) : context.dense(rows, `${prefix}.${own}`, hiddenSize, hiddenSize);
    const scores = (content: Value, position: Value): Value =>
      alignDistances(
        matmul(tokens.splitHeads(content, heads), reshape(position, [distances, 1, heads, hiddenSize / heads]), {
          transBatchB: true,
          transB: true,
          alpha: scale,
        }),
      );
    const terms: Value[] = [];
    if (contentToPosition) terms.push(scores(query, project(NAMES.key, "attention.self.pos_key_proj")));
    if (positionToContent) {
      // Here keys are the rows, so distances have the opposite sign; the result is transposed back.
      const own = tokens.table("distances", { dtype: "int32", axes: ["distance"], value: (distance) => distance! });
      // Row r takes the row r positions from the end, counted as -r; row 0 is never read.
      const reversal = sub(own, slice(own, 0, 0, 1));
      const reversed = gather(project(NAMES.query, "attention.self.pos_query_proj"), reversal);
      terms.push(transpose(scores(key, reversed), [0, 1, 3, 2]));
    }
    return terms.reduce(add);
  };
}

function relativeTable({ span, farthest }: RelativeConfig): LengthTable {
  return {
    dtype: "int32",
    axes: ["distance"],
    value(distance) {
      const bucket = farthest === undefined ? distance! : bucketOf(distance!, span, farthest);
      return Math.min(Math.max(bucket + span, 0), 2 * span - 1);
    },
  };
}

/** Returns a distance's bucket: one each up to half the buckets, then logarithmically growing ones. */
function bucketOf(distance: number, buckets: number, farthest: number): number {
  const near = Math.floor(buckets / 2);
  const size = Math.abs(distance);
  if (size <= near) return distance;
  const far = Math.ceil((Math.log(size / near) / Math.log((farthest - 1) / near)) * (near - 1)) + near;
  return Math.sign(distance) * far;
}

/** DeBERTa-v2-xlarge's convolution over the embeddings, added to the first block's output and normalised. */
function convolve(
  context: ForwardContext,
  tokens: TokenStream,
  { hiddenSize, hiddenDropout, layerNormEpsilon }: DebertaConfig,
  activation: Activation,
  embeddings: Value,
  output: Value,
): Value {
  const weight = context.weight("encoder.conv.conv.weight", [hiddenSize, hiddenSize, 3]);
  const bias = context.weight("encoder.conv.conv.bias", [hiddenSize]);
  const { sequence } = tokens;
  // With zeros before and after each text, shifted tokens are slices; side by side as columns they make one product.
  // Three times the length has room for a zero on either side even of a single token.
  const padded = padTo(tokens.pad(embeddings), 1, 1, product([3, sequence]));
  const shifted = [0, 1, 2].map((start) => {
    const rows = tokens.unpad(sliceSize(padded, 1, start, sequence));
    return reshape(rows, [tokens.tokens, hiddenSize, 1]);
  });
  const columns = reshape(concat(shifted, 2), [tokens.tokens, 3 * hiddenSize]);
  const convolved = gemm(columns, reshape(weight, [hiddenSize, 3 * hiddenSize]), { transB: true, addend: bias });
  const activated = ACTIVATIONS[activation](context.dropout(convolved, hiddenDropout));
  return context.layerNorm(add(output, activated), "encoder.conv.LayerNorm", layerNormEpsilon);
}
