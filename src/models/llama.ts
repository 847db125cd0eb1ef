import { z } from "zod";
import type { DecoderArchitecture } from "./architecture.ts";
import { parseConfig } from "./config.ts";
import { type DecoderConfig, decode, decoderConfig, decoderHeads, decoderSettings } from "./decoder.ts";
import { ropeSettings, rotaryPositions } from "./rotary.ts";

const schema = decoderSettings.extend({
  max_position_embeddings: z.int().positive().default(2048),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: ropeSettings.nullish(),
  rope_parameters: ropeSettings.nullish(),
});

/** Llama 2 and 3 (arXiv 2307.09288, 2407.21783), SmolLM2, TinyLlama; Hugging Face's `modeling_llama.py`. */
export const llama: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { llama: "Llama" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    const config = decoderConfig(raw, settings);
    const positions = rotaryPositions(settings.rope_parameters ?? settings.rope_scaling, {
      theta: settings.rope_theta,
      size: config.headSize,
      maxLength: config.maxLength,
    });
    return {
      ...config,
      biases: { query: settings.attention_bias, attended: settings.attention_bias, feedForward: settings.mlp_bias },
      reach: Array.from({ length: config.layerCount }, () => ({ positions })),
    };
  },

  decode,
  heads: decoderHeads,
};
