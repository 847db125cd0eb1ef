import { z } from "zod";
import type { DecoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import { type DecoderConfig, decode, decoderHeads } from "../decoder.ts";
import { qwenConfig, qwenSettings } from "./qwen2.ts";

const schema = qwenSettings.extend({
  head_dim: z.int().positive().multipleOf(2).default(128),
  attention_bias: z.boolean().default(false),
});

/** Qwen 3 (arXiv 2505.09388), which normalises queries and keys; Hugging Face's `modeling_qwen3.py`. */
export const qwen3: DecoderArchitecture<DecoderConfig> = {
  kind: "decoder",
  modelTypes: { qwen3: "Qwen3" },
  prefix: "model",
  besidePrefix: ["lm_head"],

  readConfig(raw) {
    const settings = parseConfig(schema, raw);
    const bias = settings.attention_bias;
    return {
      ...qwenConfig(raw, settings),
      biases: { query: bias, attended: bias, feedForward: false },
      queryKeyNorm: true,
    };
  },

  decode,
  heads: decoderHeads,
};
