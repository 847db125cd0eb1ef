import { z } from "zod";
import type { EncoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import { bertEmbeddings, encoder } from "../encoder.ts";
import { firstTokenHead, plainTokenHead } from "../heads.ts";
import { type BertConfig, bertConfig, bertSchema } from "./bert.ts";

const schema = bertSchema.extend({ pad_token_id: z.int().nonnegative().default(1) });

/**
 * RoBERTa (arXiv 1907.11692), XLM-RoBERTa (1911.02116) and CamemBERT (1911.03894): BERT whose positions start after
 * that of padding; Hugging Face's `modeling_roberta.py`.
 */
export const roberta: EncoderArchitecture<BertConfig> = {
  kind: "encoder",
  modelTypes: { roberta: "Roberta", "xlm-roberta": "XLMRoberta", camembert: "Camembert" },
  prefix: "roberta",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return bertConfig(raw, config, config.pad_token_id + 1);
  },

  encode: (context, config, tokens) => encoder(context, config, tokens, bertEmbeddings(context, config, tokens)),

  heads: { sequence: firstTokenHead("tanh"), token: plainTokenHead(({ classifierDropout }) => classifierDropout) },
};
