import { z } from "zod";
import type { Architecture } from "./architecture.ts";
import { maskBias } from "./attention.ts";
import { type BertConfig, bertConfig, bertSchema } from "./bert.ts";
import { parseConfig } from "./config.ts";
import { bertEmbeddings, encoder } from "./encoder.ts";
import { firstTokenHead, plainTokenHead } from "./heads.ts";

const schema = bertSchema.extend({ embedding_size: z.int().positive().default(128) });

/**
 * ELECTRA's discriminator (arXiv 2003.10555): BERT whose embeddings may be narrower than its blocks; Hugging Face's
 * `modeling_electra.py`.
 */
export const electra: Architecture<BertConfig> = {
  modelTypes: ["electra"],
  prefix: "electra",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return { ...bertConfig(raw, config), embeddingSize: config.embedding_size };
  },

  backbone(context, config, inputs) {
    const { embeddingSize, hiddenSize } = config;
    const embeddings = bertEmbeddings(context, config, inputs);
    const projected =
      embeddingSize === hiddenSize
        ? embeddings
        : context.dense(embeddings, "embeddings_project", embeddingSize, hiddenSize);
    const mask = maskBias(inputs.attentionMask);
    return encoder(context, config, projected, { bias: () => mask });
  },

  sequenceHead: (context, config, hidden, labelCount) =>
    firstTokenHead(context, hidden, labelCount, { activation: "gelu", dropout: config.classifierDropout }),

  tokenHead: (context, config, hidden, labelCount) =>
    plainTokenHead(context, hidden, labelCount, config.classifierDropout),
};
