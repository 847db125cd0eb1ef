import { z } from "zod";
import type { DecoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import { type DecoderConfig, decode, decoderConfig, decoderHeads, decoderSettings } from "../decoder.ts";

const schema = decoderSettings.extend({
  max_position_embeddings: z.int().positive().default(131_072),
  num_key_value_heads: z.int().positive().nullish().default(8),
  sliding_window: z.int().positive().nullish().default(4096),
});

/** Mistral (arXiv 2310.06825): Llama with an optional attention window; Hugging Face's `modeling_mistral.py`. */
export const mistral: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { mistral: "Mistral" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    const config = decoderConfig(raw, settings);
    const window = settings.sliding_window ?? undefined;
    return { ...config, attentionSpans: config.attentionSpans.map((span) => ({ ...span, window })) };
  },

  decode,
  heads: decoderHeads,
};
