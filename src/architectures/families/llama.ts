import { z } from "zod";
import type { DecoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import { type DecoderConfig, decode, decoderConfig, decoderHeads, decoderSettings } from "../decoder.ts";

const schema = decoderSettings.extend({
  max_position_embeddings: z.int().positive().default(2048),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Llama 2 and 3 (arXiv 2307.09288, 2407.21783), SmolLM2, TinyLlama; Hugging Face's `modeling_llama.py`. */
export const llama: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { llama: "Llama" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    return {
      ...decoderConfig(raw, settings),
      biases: { query: settings.attention_bias, attended: settings.attention_bias, feedForward: settings.mlp_bias },
    };
  },

  decode,
  heads: decoderHeads,
};
