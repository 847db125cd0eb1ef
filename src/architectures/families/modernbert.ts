import { z } from "zod";
import type { Value } from "../../graph/graph.ts";
import { add, concat, gather, mul, reshape, slice, sub } from "../../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../activation.ts";
import type { EncoderArchitecture } from "../architecture.ts";
import { attention, maskBias } from "../attention.ts";
import { labelCountOf, parseConfig, rate } from "../config.ts";
import { type LayerType, layerTypes } from "../decoder.ts";
import type { ForwardContext } from "../forward-context.ts";
import { plainTokenHead } from "../heads.ts";
import type { ModuleRole } from "../model-parts.ts";
import { meanOfTokens } from "../pooling.ts";
import type { TokenStream } from "../streams/token-stream.ts";

const rope = z.object({ rope_theta: z.number().positive(), rope_type: z.literal("default").default("default") });

const schema = z
  .object({
    model_type: z.string(),
    vocab_size: z.int().positive(),
    hidden_size: z.int().positive(),
    num_hidden_layers: z.int().positive(),
    num_attention_heads: z.int().positive(),
    intermediate_size: z.int().positive(),
    hidden_activation: z.enum(ACTIVATION_NAMES).default("gelu"),
    max_position_embeddings: z.int().positive().default(8192),
    initializer_range: z.number().default(0.02),
    norm_eps: z.number().default(1e-5),
    norm_bias: z.boolean().default(false),
    attention_bias: z.boolean().default(false),
    mlp_bias: z.boolean().default(false),
    embedding_dropout: rate.default(0),
    attention_dropout: rate.default(0),
    mlp_dropout: rate.default(0),
    local_attention: z.int().positive().default(128),
    global_attn_every_n_layers: z.int().positive().default(3),
    layer_types: layerTypes,
    global_rope_theta: z.number().positive().default(160_000),
    local_rope_theta: z.number().positive().nullish().default(10_000),
    rope_parameters: z.object({ full_attention: rope, sliding_attention: rope }).nullish(),
    rope_scaling: z.null().optional(),
    classifier_pooling: z.enum(["cls", "mean"]).default("cls"),
    classifier_activation: z.enum(ACTIVATION_NAMES).default("gelu"),
    classifier_bias: z.boolean().default(false),
    classifier_dropout: rate.default(0),
  })
  .refine((config) => !config.layer_types || config.layer_types.length === config.num_hidden_layers, {
    path: ["layer_types"],
    error: "it must name num_hidden_layers layers",
  })
  .refine(({ hidden_size: hidden, num_attention_heads: heads }) => hidden % (2 * heads) === 0, {
    path: ["hidden_size"],
    error: "it must be a multiple of twice num_attention_heads, because positions turn pairs of features",
  });

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  const everyNth = (block: number): LayerType =>
    block % config.global_attn_every_n_layers === 0 ? "full_attention" : "sliding_attention";
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.hidden_size,
    layerCount: config.num_hidden_layers,
    heads: config.num_attention_heads,
    intermediateSize: config.intermediate_size,
    activation: config.hidden_activation,
    maxLength: config.max_position_embeddings,
    initializerRange: config.initializer_range,
    layerNormEpsilon: config.norm_eps,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
    embeddingDropout: config.embedding_dropout,
    attentionDropout: config.attention_dropout,
    mlpDropout: config.mlp_dropout,
    attentionBias: config.attention_bias,
    mlpBias: config.mlp_bias,
    normBias: config.norm_bias,
    layerTypes: config.layer_types ?? Array.from({ length: config.num_hidden_layers }, (_, block) => everyNth(block)),
    window: Math.floor(config.local_attention / 2),
    theta: {
      full_attention: config.rope_parameters?.full_attention.rope_theta ?? config.global_rope_theta,
      sliding_attention:
        config.rope_parameters?.sliding_attention.rope_theta ?? config.local_rope_theta ?? config.global_rope_theta,
    },
    classifierPooling: config.classifier_pooling,
    classifierActivation: config.classifier_activation,
    classifierBias: config.classifier_bias,
    classifierDropout: config.classifier_dropout,
  };
}

type ModernBertConfig = ReturnType<typeof readConfig>;

/**
 * ModernBERT (arXiv 2412.13663): normalisation before each part, rotary positions, alternating global and local
 * attention, gated feed-forward networks; Hugging Face's `modeling_modernbert.py`.
 */
export const modernbert: EncoderArchitecture<ModernBertConfig> = {
  kind: "encoder",
  modelTypes: { modernbert: "ModernBert" },
  prefix: "model",

  readConfig,

  encode(context, config, tokens) {
    const { vocabularySize, hiddenSize } = config;
    const embeddings = context.lookup("embeddings.tok_embeddings", [vocabularySize, hiddenSize], tokens.inputIds);
    let x = context.dropout(norm(context, config, embeddings, "embeddings.norm"), config.embeddingDropout);
    for (let block = 0; block < config.layerCount; block++) {
      x = context.block(x, (input) => {
        const attended = add(input, attentionPart(context, config, tokens, input, block));
        return add(attended, feedForwardPart(context, config, attended, block));
      });
    }
    return norm(context, config, x, "final_norm");
  },

  heads: {
    sequence(context, config, hidden, outputs, tokens) {
      const pooled = config.classifierPooling === "cls" ? tokens.first(hidden) : meanOfTokens(tokens, hidden);
      const inner = context.dropout(predictionHead(context, config, pooled), config.classifierDropout);
      return context.dense(inner, "classifier", config.hiddenSize, outputs);
    },
    token: plainTokenHead(({ classifierDropout }) => classifierDropout, predictionHead),
  },
};

function norm(context: ForwardContext, config: ModernBertConfig, x: Value, name: string): Value {
  return context.layerNorm(x, name, config.layerNormEpsilon, { bias: config.normBias });
}

function attentionPart(
  context: ForwardContext,
  config: ModernBertConfig,
  tokens: TokenStream,
  x: Value,
  block: number,
): Value {
  const { hiddenSize, heads, attentionDropout, attentionBias } = config;
  const layerType = config.layerTypes[block]!;
  const normalised = block === 0 ? x : norm(context, config, x, `layers.${block}.attn_norm`);
  const projected = linear(context, normalised, block, "attn.Wqkv", "attention", 3 * hiddenSize, attentionBias);
  const part = (index: number): Value => slice(projected, 1, index * hiddenSize, (index + 1) * hiddenSize);
  const attended = attention(
    context,
    {
      query: rotate(config, tokens, part(0), layerType),
      key: rotate(config, tokens, part(1), layerType),
      value: part(2),
    },
    { queries: tokens },
    { heads, bias: windowBias(config, tokens, layerType), dropout: attentionDropout },
  );
  const output = linear(context, attended, block, "attn.Wo", "attention", hiddenSize, attentionBias);
  return context.dropout(output, attentionDropout);
}

function feedForwardPart(context: ForwardContext, config: ModernBertConfig, x: Value, block: number): Value {
  const { hiddenSize, intermediateSize, mlpBias } = config;
  const normalised = norm(context, config, x, `layers.${block}.mlp_norm`);
  const projected = linear(context, normalised, block, "mlp.Wi", "ffn", 2 * intermediateSize, mlpBias);
  const inner = ACTIVATIONS[config.activation](slice(projected, 1, 0, intermediateSize));
  const gated = mul(inner, slice(projected, 1, intermediateSize, 2 * intermediateSize));
  return linear(context, context.dropout(gated, config.mlpDropout), block, "mlp.Wo", "ffn", hiddenSize, mlpBias);
}

function linear(
  context: ForwardContext,
  x: Value,
  block: number,
  name: string,
  role: ModuleRole,
  outFeatures: number,
  bias: boolean,
): Value {
  const module = { name: `layers.${block}.${name}`, role, block, inFeatures: x.shape[1] as number, outFeatures };
  return context.linear(x, module, { bias });
}

function windowBias({ window }: ModernBertConfig, tokens: TokenStream, layerType: LayerType): Value {
  const mask = maskBias(tokens);
  if (layerType === "full_attention") return mask;
  const local = tokens.table("localBias", {
    dtype: "float32",
    axes: ["position", "position"],
    value: (query, key) => (Math.abs(query! - key!) <= window ? 0 : -1e30),
  });
  return add(mask, reshape(local, [1, 1, tokens.sequence, tokens.sequence]));
}

/** Applies rotary positions to each head's pairs of features, `[tokens, hidden]` (arXiv 2104.09864). */
function rotate(config: ModernBertConfig, tokens: TokenStream, x: Value, layerType: LayerType): Value {
  const size = config.hiddenSize / config.heads;
  const half = size / 2;
  const ofPositions = (name: string, value: (angle: number) => number): Value => {
    const table = tokens.table(`${name}.${layerType}`, {
      dtype: "float32",
      axes: ["position", half],
      // Intermediate values are rounded to float32 as in PyTorch; far positions would differ otherwise.
      value: (position, pair) =>
        value(Math.fround(position! * Math.fround(1 / config.theta[layerType] ** (pair! / half)))),
    });
    return reshape(gather(table, tokens.positionIds), [tokens.tokens, 1, half]);
  };
  const [cosine, sine] = [ofPositions("cosine", Math.cos), ofPositions("sine", Math.sin)];
  const parts = reshape(x, [tokens.tokens, config.heads, size]);
  const [first, second] = [slice(parts, 2, 0, half), slice(parts, 2, half, size)];
  const rotated = [sub(mul(first, cosine), mul(second, sine)), add(mul(second, cosine), mul(first, sine))];
  return reshape(concat(rotated, 2), x.shape);
}

function predictionHead(context: ForwardContext, config: ModernBertConfig, x: Value): Value {
  const { hiddenSize, classifierBias } = config;
  const inner = context.dense(x, "head.dense", hiddenSize, hiddenSize, { bias: classifierBias });
  return norm(context, config, ACTIVATIONS[config.classifierActivation](inner), "head.norm");
}
