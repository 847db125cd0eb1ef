import { z } from "zod";
import type { Architecture } from "./architecture.ts";
import { maskBias } from "./attention.ts";
import { type BertConfig, bertConfig, bertSchema } from "./bert.ts";
import { parseConfig } from "./config.ts";
import { bertEmbeddings, encoder } from "./encoder.ts";
import { firstTokenHead, plainTokenHead } from "./heads.ts";

const schema = bertSchema.extend({ pad_token_id: z.int().nonnegative().default(1) });

/**
 * RoBERTa (arXiv 1907.11692), XLM-RoBERTa (1911.02116) and CamemBERT (1911.03894): BERT whose positions start after
 * the padding's; Hugging Face's `modeling_roberta.py`.
 */
export const roberta: Architecture<BertConfig> = {
  modelTypes: ["roberta", "xlm-roberta", "camembert"],
  prefix: "roberta",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return bertConfig(raw, config, config.pad_token_id + 1);
  },

  backbone(context, config, inputs) {
    const mask = maskBias(inputs.attentionMask);
    return encoder(context, config, bertEmbeddings(context, config, inputs), { bias: () => mask });
  },

  sequenceHead: (context, config, hidden, labelCount) =>
    firstTokenHead(context, hidden, labelCount, { activation: "tanh", dropout: config.classifierDropout }),

  tokenHead: (context, config, hidden, labelCount) =>
    plainTokenHead(context, hidden, labelCount, config.classifierDropout),
};
