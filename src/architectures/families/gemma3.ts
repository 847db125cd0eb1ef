import { z } from "zod";
import type { DecoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import {
  type AttentionSpan,
  type DecoderConfig,
  decode,
  decoderHeads,
  type LayerType,
  typesOfBlocks,
} from "../decoder.ts";
import { ropeSettings, rotaryPositions } from "../rotary.ts";
import { gemmaConfig, gemmaSettings } from "./gemma2.ts";

const schema = gemmaSettings.extend({
  max_position_embeddings: z.int().positive().default(131_072),
  attn_logit_softcapping: z.null().optional(),
  sliding_window_pattern: z.int().positive().default(6),
  rope_theta: z.number().positive().default(1_000_000),
  rope_local_base_freq: z.number().positive().default(10_000),
  rope_parameters: z
    .object({ full_attention: ropeSettings.nullish(), sliding_attention: ropeSettings.nullish() })
    .nullish(),
});

/**
 * Gemma 3 for text (arXiv 2503.19786): five of six blocks have a window and a separate RoPE base, and queries and keys
 * are normalised; Hugging Face's `modeling_gemma3.py`.
 */
export const gemma3: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { gemma3_text: "Gemma3Text" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    const { rope_parameters: rope, sliding_window: window, sliding_window_pattern: pattern } = settings;
    const config = gemmaConfig(raw, { ...settings, rope_parameters: null });
    const sized = { size: config.headSize, maxLength: config.maxLength };
    const { rope_theta: theta, rope_local_base_freq: localTheta } = settings;
    const spans: Record<LayerType, AttentionSpan> = {
      full_attention: {
        positions: rotaryPositions(rope?.full_attention ?? settings.rope_scaling, { theta, ...sized }),
      },
      sliding_attention: {
        window: window ?? undefined,
        positions: rotaryPositions(rope?.sliding_attention, { theta: localTheta, ...sized }),
      },
    };
    const types = typesOfBlocks(settings, (block) =>
      (block + 1) % pattern === 0 ? "full_attention" : "sliding_attention",
    );
    return { ...config, queryKeyNorm: true, attentionSpans: types.map((type) => spans[type]) };
  },

  decode,
  // Hugging Face has no token-classification class for it.
  heads: { sequence: decoderHeads.sequence, languageModel: decoderHeads.languageModel },
};
