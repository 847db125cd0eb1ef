import { z } from "zod";
import { add, gather, reshape, transpose } from "../../graph/ops.ts";
import type { EncoderArchitecture } from "../architecture.ts";
import { maskBias } from "../attention.ts";
import { parseConfig } from "../config.ts";
import { BERT_NAMES, type BlockNames, bertEmbeddings, encoder } from "../encoder.ts";
import { firstTokenHead, plainTokenHead } from "../heads.ts";
import { relativeBucket } from "../relative-bucket.ts";
import { type BertConfig, bertConfig, bertSchema } from "./bert.ts";

const schema = bertSchema
  .omit({ classifier_dropout: true, type_vocab_size: true })
  .extend({ relative_attention_num_buckets: z.int().min(4).default(32) });

interface MPNetConfig extends BertConfig {
  buckets: number;
}

const NAMES: BlockNames = {
  ...BERT_NAMES,
  query: "attention.attn.q",
  key: "attention.attn.k",
  value: "attention.attn.v",
  attended: "attention.attn.o",
  attendedNorm: "attention.LayerNorm",
};

/** Row of the first token's position: MPNet's padding is token 1 whatever config.json says. */
const FIRST_POSITION = 2;
const FAR = 128;

/**
 * MPNet (arXiv 2004.09297): BERT without token types, with a relative position bias that all blocks share; Hugging
 * Face's `modeling_mpnet.py`.
 */
export const mpnet: EncoderArchitecture<MPNetConfig> = {
  kind: "encoder",
  modelTypes: { mpnet: "MPNet" },
  prefix: "mpnet",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return {
      ...bertConfig(raw, { ...config, classifier_dropout: null, type_vocab_size: 0 }, FIRST_POSITION),
      buckets: config.relative_attention_num_buckets,
    };
  },

  encode(context, config, tokens) {
    const table = context.weight("encoder.relative_attention_bias.weight", [config.buckets, config.heads]);
    const buckets = tokens.table("relativeBuckets", {
      dtype: "int32",
      axes: ["position", "position"],
      value: (query, key) =>
        relativeBucket(key! - query!, { buckets: config.buckets, farthest: FAR, bidirectional: true }),
    });
    const { sequence } = tokens;
    const positions = reshape(transpose(gather(table, buckets), [2, 0, 1]), [1, config.heads, sequence, sequence]);
    const bias = add(positions, maskBias(tokens));
    return encoder(context, config, tokens, bertEmbeddings(context, config, tokens), {
      names: NAMES,
      bias: () => bias,
    });
  },

  heads: { sequence: firstTokenHead("tanh"), token: plainTokenHead(({ classifierDropout }) => classifierDropout) },
};
