import { z } from "zod";
import type { EncoderArchitecture } from "../architecture.ts";
import { parseConfig } from "../config.ts";
import { bertEmbeddings, encoder } from "../encoder.ts";
import { firstTokenHead, plainTokenHead } from "../heads.ts";
import { type BertConfig, bertConfig, bertSchema } from "./bert.ts";

const schema = bertSchema.extend({ embedding_size: z.int().positive().default(128) });

/**
 * ELECTRA's discriminator (arXiv 2003.10555): BERT whose embeddings may be narrower than its blocks; Hugging Face's
 * `modeling_electra.py`.
 */
export const electra: EncoderArchitecture<BertConfig> = {
  kind: "encoder",
  modelTypes: { electra: "Electra" },
  prefix: "electra",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return { ...bertConfig(raw, config), embeddingSize: config.embedding_size };
  },

  encode(context, config, tokens) {
    const { embeddingSize, hiddenSize } = config;
    const embeddings = bertEmbeddings(context, config, tokens);
    const projected =
      embeddingSize === hiddenSize
        ? embeddings
        : context.dense(embeddings, "embeddings_project", embeddingSize, hiddenSize);
    return encoder(context, config, tokens, projected);
  },

  heads: { sequence: firstTokenHead("gelu"), token: plainTokenHead(({ classifierDropout }) => classifierDropout) },
};
