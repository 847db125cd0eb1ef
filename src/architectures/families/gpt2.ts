import { z } from "zod";
import type { Value } from "../../graph/graph.ts";
import { add, gather, slice } from "../../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS } from "../activation.ts";
import type { DecoderArchitecture } from "../architecture.ts";
import { causalAttention } from "../attention.ts";
import { evenHeads, labelCountOf, parseConfig, rate } from "../config.ts";
import type { ForwardContext } from "../forward-context.ts";
import { plainTokenHead } from "../heads.ts";
import type { ModuleRole } from "../model-parts.ts";
import type { TokenStream } from "../streams/token-stream.ts";
import { embedWords, wordLogits } from "../words.ts";

const schema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  n_positions: z.int().positive().default(1024),
  n_embd: z.int().positive(),
  n_layer: z.int().positive(),
  n_head: z.int().positive(),
  n_inner: z.int().positive().nullish(),
  activation_function: z.enum(ACTIVATION_NAMES).default("gelu_new"),
  resid_pdrop: rate.default(0.1),
  embd_pdrop: rate.default(0.1),
  attn_pdrop: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  initializer_range: z.number().default(0.02),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false).optional(),
  tie_word_embeddings: z.boolean().default(true),
});

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  const heads = evenHeads(config.n_embd, config.n_head);
  const scale = config.scale_attn_weights ? 1 / Math.sqrt(config.n_embd / heads) : 1;
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.n_embd,
    intermediateSize: config.n_inner ?? 4 * config.n_embd,
    layerCount: config.n_layer,
    heads,
    activation: config.activation_function,
    maxLength: config.n_positions,
    initializerRange: config.initializer_range,
    layerNormEpsilon: config.layer_norm_epsilon,
    embeddingDropout: config.embd_pdrop,
    attentionDropout: config.attn_pdrop,
    residualDropout: config.resid_pdrop,
    classifierDropout: config.classifier_dropout ?? 0.1,
    scoreScale: Array.from({ length: config.n_layer }, (_, block) =>
      config.scale_attn_by_inverse_layer_idx ? scale / (block + 1) : scale,
    ),
    tied: config.tie_word_embeddings,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
  };
}

type Gpt2Config = ReturnType<typeof readConfig>;

/**
 * GPT-2 (Radford et al., 2019), DistilGPT2: learned positions, normalisation before each part; Hugging Face's
 * `modeling_gpt2.py`. Its checkpoints store linear layers transposed, and query, key and value as one layer, which
 * methods adapt as one.
 */
export const gpt2: DecoderArchitecture<Gpt2Config> = {
  kind: "decoder",
  modelTypes: { gpt2: "GPT2" },
  prefix: "transformer",
  besidePrefix: ["lm_head"],

  readConfig,

  decode(context, config, tokens) {
    const positions = context.weight("wpe.weight", [config.maxLength, config.hiddenSize]);
    const words = embedWords(context, config, "wte", tokens.inputIds);
    let x = context.dropout(add(words, gather(positions, tokens.positionIds)), config.embeddingDropout);
    for (let block = 0; block < config.layerCount; block++) {
      x = context.block(x, (input) => writeBlock(context, config, tokens, input, block));
    }
    return context.layerNorm(x, "ln_f", config.layerNormEpsilon);
  },

  heads: {
    // The last token has attended to all others.
    sequence: (context, { hiddenSize }, hidden, outputs, tokens) =>
      context.dense(tokens.last(hidden), "score", hiddenSize, outputs, { bias: false }),
    token: plainTokenHead(({ classifierDropout }) => classifierDropout),
    languageModel: (context, config, hidden) => wordLogits(context, config, "wte", hidden),
  },
};

function writeBlock(
  context: ForwardContext,
  config: Gpt2Config,
  tokens: TokenStream,
  input: Value,
  block: number,
): Value {
  const { hiddenSize, intermediateSize, heads, layerNormEpsilon } = config;
  const prefix = `h.${block}`;
  const linear = (x: Value, name: string, role: ModuleRole, outFeatures: number): Value => {
    const module = { name: `${prefix}.${name}`, role, block, inFeatures: x.shape[1] as number, outFeatures };
    return context.linear(x, module, { transposed: true });
  };
  const added = (x: Value, part: Value): Value => add(x, context.dropout(part, config.residualDropout));

  const normalised = context.layerNorm(input, `${prefix}.ln_1`, layerNormEpsilon);
  const projected = linear(normalised, "attn.c_attn", "attention", 3 * hiddenSize);
  const part = (index: number): Value => slice(projected, 1, index * hiddenSize, (index + 1) * hiddenSize);
  const attended = causalAttention(context, { query: part(0), key: part(1), value: part(2) }, tokens, {
    heads,
    dropout: config.attentionDropout,
    scale: config.scoreScale[block],
  });
  const x = added(input, linear(attended, "attn.c_proj", "attention", hiddenSize));
  const y = context.layerNorm(x, `${prefix}.ln_2`, layerNormEpsilon);
  const inner = ACTIVATIONS[config.activation](linear(y, "mlp.c_fc", "ffn", intermediateSize));
  return added(x, linear(inner, "mlp.c_proj", "ffn", hiddenSize));
}
