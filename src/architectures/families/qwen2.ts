import { z } from "zod";
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

export const qwenSettings = decoderSettings.extend({
  max_position_embeddings: z.int().positive().default(32_768),
  use_sliding_window: z.boolean().default(false),
  sliding_window: z.int().positive().nullish().default(4096),
  max_window_layers: z.int().min(0).default(28),
  layer_types: layerTypes,
});

export function qwenConfig(raw: unknown, settings: z.output<typeof qwenSettings>): DecoderConfig {
  const config = decoderConfig(raw, settings);
  const window = settings.use_sliding_window ? (settings.sliding_window ?? undefined) : undefined;
  const types = typesOfBlocks(settings, (block) =>
    window !== undefined && block >= settings.max_window_layers ? "sliding_attention" : "full_attention",
  );
  return {
    ...config,
    attentionSpans: config.attentionSpans.map((span, block) =>
      types[block] === "sliding_attention" ? { ...span, window } : span,
    ),
  };
}

/**
 * Qwen 2 and 2.5 (arXiv 2407.10671): Llama with biases of queries, keys and values; Hugging Face's `modeling_qwen2.py`.
 */
export const qwen2: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { qwen2: "Qwen2" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig: (raw) => ({
    ...qwenConfig(raw, parseConfig(qwenSettings, raw)),
    biases: { query: true, attended: false, feedForward: false },
  }),

  decode,
  heads: decoderHeads,
};
