import { z } from "zod";
import { ACTIVATION_NAMES } from "../activation.ts";
import type { DecoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import {
  type DecoderConfig,
  decode,
  decoderConfig,
  decoderHeads,
  decoderSettings,
  layerTypes,
  typesOfBlocks,
} from "../decoder.ts";

const cap = z.number().positive().nullish();

export const gemmaSettings = decoderSettings.extend({
  head_dim: z.int().positive().multipleOf(2).default(256),
  hidden_activation: z.enum(ACTIVATION_NAMES).nullish().default("gelu_pytorch_tanh"),
  tie_word_embeddings: z.boolean().default(true),
  attention_bias: z.boolean().default(false),
  query_pre_attn_scalar: z.number().positive().default(256),
  sliding_window: z.int().positive().nullish().default(4096),
  layer_types: layerTypes,
  final_logit_softcapping: cap,
  use_bidirectional_attention: z.literal(false).nullish(),
});

export function gemmaConfig(raw: unknown, settings: z.output<typeof gemmaSettings>): DecoderConfig {
  const bias = settings.attention_bias;
  return {
    ...decoderConfig(raw, settings),
    activation: settings.hidden_activation ?? "gelu_pytorch_tanh",
    biases: { query: bias, attended: bias, feedForward: false },
    normOffset: 1,
    normAfter: true,
    embeddingScale: Math.sqrt(settings.hidden_size),
    scoreScale: settings.query_pre_attn_scalar ** -0.5,
    logitCap: settings.final_logit_softcapping ?? undefined,
  };
}

const schema = gemmaSettings.extend({
  max_position_embeddings: z.int().positive().default(8192),
  final_logit_softcapping: cap.default(30),
  attn_logit_softcapping: cap.default(50),
});

/** Gemma 2 (arXiv 2408.00118): windows in every other block, soft caps; Hugging Face's `modeling_gemma2.py`. */
export const gemma2: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { gemma2: "Gemma2" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    const config = gemmaConfig(raw, settings);
    const types = typesOfBlocks(settings, (block) => (block % 2 === 0 ? "sliding_attention" : "full_attention"));
    const window = settings.sliding_window ?? undefined;
    return {
      ...config,
      scoreCap: settings.attn_logit_softcapping ?? undefined,
      attentionSpans: config.attentionSpans.map((span, block) =>
        types[block] === "sliding_attention" ? { ...span, window } : span,
      ),
    };
  },

  decode,
  heads: decoderHeads,
};
