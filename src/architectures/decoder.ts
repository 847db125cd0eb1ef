import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { add, mul, reshape, rmsNorm, tanh } from "../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activation.ts";
import type { Heads } from "./architecture.ts";
import { causalAttention } from "./attention.ts";
import { labelCountOf, rate } from "./config.ts";
import type { ForwardContext } from "./forward-context.ts";
import type { ModuleRole } from "./model-parts.ts";
import { type RotaryPositions, ropeSettings, rotaryPositions } from "./rotary.ts";
import type { TokenStream } from "./streams/token-stream.ts";
import { embedWords, type WordsConfig, wordLogits } from "./words.ts";

export interface DecoderConfig extends WordsConfig {
  intermediateSize: number;
  heads: number;
  keyValueHeads: number;
  /** Features per head. All heads together may differ from the hidden size. */
  headSize: number;
  activation: Activation;
  normEpsilon: number;
  attentionDropout: number;
  classifierDropout: number;
  attentionSpans: readonly AttentionSpan[];
  /** Whether linear layers have biases: query, key and value; attention's output; the feed-forward network's. */
  biases: { query: boolean; attended: boolean; feedForward: boolean };
  /** Added to norm weights: Gemma stores them minus 1. */
  normOffset: number;
  queryKeyNorm: boolean;
  normAfter: boolean;
  embeddingScale?: number;
  scoreScale?: number | undefined;
  scoreCap?: number | undefined;
  logitCap?: number | undefined;
}

export interface AttentionSpan {
  /** Number of tokens to attend to, itself included (default: all earlier ones). */
  window?: number | undefined;
  positions: RotaryPositions;
}

export const decoderSettings = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().multipleOf(2).nullish(),
  hidden_act: z.enum(ACTIVATION_NAMES).default("silu"),
  max_position_embeddings: z.int().positive(),
  initializer_range: z.number().default(0.02),
  rms_norm_eps: z.number().positive().default(1e-6),
  attention_dropout: rate.nullish(),
  classifier_dropout: rate.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: ropeSettings.nullish(),
  rope_parameters: ropeSettings.nullish(),
});

export type LayerType = "full_attention" | "sliding_attention";
export const layerTypes = z.array(z.enum(["full_attention", "sliding_attention"])).nullish();

export function typesOfBlocks(
  {
    num_hidden_layers: count,
    layer_types,
  }: { num_hidden_layers: number; layer_types?: LayerType[] | null | undefined },
  byNumber: (block: number) => LayerType,
): LayerType[] {
  if (!layer_types) return Array.from({ length: count }, (_, block) => byNumber(block));
  if (layer_types.length === count) return layer_types;
  throw new UserError(`config.json: "layer_types" names ${layer_types.length} layers, but there are ${count}`);
}

export function decoderConfig(raw: unknown, settings: z.output<typeof decoderSettings>): DecoderConfig {
  const heads = settings.num_attention_heads;
  const keyValueHeads = settings.num_key_value_heads ?? heads;
  if (heads % keyValueHeads !== 0) {
    throw new UserError(
      `config.json: ${heads} attention heads cannot share ${keyValueHeads} key and value heads evenly`,
    );
  }
  const headSize = settings.head_dim ?? Math.floor(settings.hidden_size / heads);
  const positions = rotaryPositions(settings.rope_parameters ?? settings.rope_scaling, {
    theta: settings.rope_theta,
    size: headSize,
    maxLength: settings.max_position_embeddings,
  });
  return {
    modelType: settings.model_type,
    vocabularySize: settings.vocab_size,
    hiddenSize: settings.hidden_size,
    intermediateSize: settings.intermediate_size,
    layerCount: settings.num_hidden_layers,
    heads,
    keyValueHeads,
    headSize,
    activation: settings.hidden_act,
    maxLength: settings.max_position_embeddings,
    initializerRange: settings.initializer_range,
    normEpsilon: settings.rms_norm_eps,
    attentionDropout: settings.attention_dropout ?? 0,
    classifierDropout: settings.classifier_dropout ?? 0.1,
    tied: settings.tie_word_embeddings,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
    attentionSpans: Array.from({ length: settings.num_hidden_layers }, () => ({ positions })),
    biases: { query: false, attended: false, feedForward: false },
    normOffset: 0,
    queryKeyNorm: false,
    normAfter: false,
  };
}

export function decode(context: ForwardContext, config: DecoderConfig, tokens: TokenStream): Value {
  const words = embedWords(context, config, "embed_tokens", tokens.inputIds);
  let x = config.embeddingScale === undefined ? words : mul(words, config.embeddingScale);
  for (let block = 0; block < config.layerCount; block++) {
    x = context.block(x, (input) => writeBlock(context, config, tokens, input, block));
  }
  return norm(context, config, x, "norm");
}

export const decoderHeads: Required<Pick<Heads<DecoderConfig>, "sequence" | "token" | "languageModel">> = {
  // The last token has attended to all others.
  sequence: (context, { hiddenSize }, hidden, outputs, tokens) =>
    context.dense(tokens.last(hidden), "score", hiddenSize, outputs, { bias: false }),
  token: (context, { hiddenSize, classifierDropout }, hidden, outputs) =>
    context.dense(context.dropout(hidden, classifierDropout), "score", hiddenSize, outputs),
  languageModel(context, config, hidden) {
    const { logitCap: cap } = config;
    const logits = wordLogits(context, config, "embed_tokens", hidden);
    return cap === undefined ? logits : mul(tanh(mul(logits, 1 / cap)), cap);
  },
};

function writeBlock(
  context: ForwardContext,
  config: DecoderConfig,
  tokens: TokenStream,
  input: Value,
  block: number,
): Value {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, biases } = config;
  const prefix = `layers.${block}`;
  const normalise = (x: Value, name: string): Value => norm(context, config, x, `${prefix}.${name}`);
  const linears = (x: Value, role: ModuleRole, bias: boolean, widths: Record<string, number>): readonly Value[] => {
    const modules = Object.entries(widths).map(([name, outFeatures]) => {
      return { name: `${prefix}.${name}`, role, block, inFeatures: x.shape[1] as number, outFeatures };
    });
    return context.linears(x, modules, { bias });
  };

  const { window, positions } = config.attentionSpans[block]!;
  const eachHead = (x: Value, name: string, count: number): Value =>
    config.queryKeyNorm
      ? reshape(normalise(reshape(x, [tokens.tokens, count, headSize]), `self_attn.${name}`), x.shape)
      : x;
  const x = normalise(input, "input_layernorm");
  const [query, key, value] = linears(x, "attention", biases.query, {
    "self_attn.q_proj": heads * headSize,
    "self_attn.k_proj": keyValueHeads * headSize,
    "self_attn.v_proj": keyValueHeads * headSize,
  });
  const attended = causalAttention(
    context,
    { query: eachHead(query!, "q_norm", heads), key: eachHead(key!, "k_norm", keyValueHeads), value: value! },
    tokens,
    {
      heads,
      keyValueHeads,
      window,
      rotary: positions,
      dropout: config.attentionDropout,
      scale: config.scoreScale,
      cap: config.scoreCap,
    },
  );
  const [output] = linears(attended, "attention", biases.attended, { "self_attn.o_proj": hiddenSize });
  const after = add(input, config.normAfter ? normalise(output!, "post_attention_layernorm") : output!);

  const y = normalise(after, config.normAfter ? "pre_feedforward_layernorm" : "post_attention_layernorm");
  const [gate, up] = linears(y, "ffn", biases.feedForward, {
    "mlp.gate_proj": intermediateSize,
    "mlp.up_proj": intermediateSize,
  });
  const inner = mul(ACTIVATIONS[config.activation](gate!), up!);
  const [outer] = linears(inner, "ffn", biases.feedForward, { "mlp.down_proj": hiddenSize });
  return add(after, config.normAfter ? normalise(outer!, "post_feedforward_layernorm") : outer!);
}

function norm(context: ForwardContext, { normEpsilon, normOffset }: DecoderConfig, x: Value, name: string): Value {
  const weight = context.weight(`${name}.weight`, x.shape.slice(-1));
  return rmsNorm(x, normOffset === 0 ? weight : add(weight, normOffset), normEpsilon);
}
