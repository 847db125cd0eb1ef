import { z } from "zod";
import { relu } from "../../graph/ops.ts";
import { ACTIVATION_NAMES } from "../activation.ts";
import type { EncoderArchitecture } from "../architecture.ts";
import { evenHeads, labelCountOf, parseConfig, rate } from "../config.ts";
import { type BlockNames, bertEmbeddings, encoder } from "../encoder.ts";
import { plainTokenHead } from "../heads.ts";

const schema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  dim: z.int().positive().default(768),
  n_layers: z.int().positive().default(6),
  n_heads: z.int().positive().default(12),
  hidden_dim: z.int().positive().default(3072),
  activation: z.enum(ACTIVATION_NAMES).default("gelu"),
  dropout: rate.default(0.1),
  attention_dropout: rate.default(0.1),
  seq_classif_dropout: rate.default(0.2),
  max_position_embeddings: z.int().positive().default(512),
  initializer_range: z.number().default(0.02),
});

const NAMES: BlockNames = {
  blocks: "transformer.layer",
  query: "attention.q_lin",
  key: "attention.k_lin",
  value: "attention.v_lin",
  attended: "attention.out_lin",
  attendedNorm: "sa_layer_norm",
  inner: "ffn.lin1",
  outer: "ffn.lin2",
  outerNorm: "output_layer_norm",
};

function readConfig(raw: unknown) {
  const config = parseConfig(schema, raw);
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.dim,
    embeddingSize: config.dim,
    layerCount: config.n_layers,
    heads: evenHeads(config.dim, config.n_heads),
    intermediateSize: config.hidden_dim,
    activation: config.activation,
    hiddenDropout: config.dropout,
    attentionDropout: config.attention_dropout,
    classifierDropout: config.seq_classif_dropout,
    maxLength: config.max_position_embeddings,
    firstPosition: 0,
    typeVocabularySize: 0,
    initializerRange: config.initializer_range,
    layerNormEpsilon: 1e-12,
    usesTokenTypes: false,
    labelCount: labelCountOf(raw),
  };
}

type DistilBertConfig = ReturnType<typeof readConfig>;

/** DistilBERT (arXiv 1910.01108): BERT without token types and pooler; Hugging Face's `modeling_distilbert.py`. */
export const distilbert: EncoderArchitecture<DistilBertConfig> = {
  kind: "encoder",
  modelTypes: { distilbert: "DistilBert" },
  prefix: "distilbert",

  readConfig,

  encode(context, config, tokens) {
    const embeddings = bertEmbeddings(context, config, tokens);
    return encoder(context, config, tokens, embeddings, { names: NAMES, attendedDropout: 0 });
  },

  heads: {
    sequence(context, { hiddenSize, classifierDropout }, hidden, outputs, tokens) {
      const first = tokens.first(hidden);
      const inner = relu(context.dense(first, "pre_classifier", hiddenSize, hiddenSize));
      return context.dense(context.dropout(inner, classifierDropout), "classifier", hiddenSize, outputs);
    },
    token: plainTokenHead(({ hiddenDropout }) => hiddenDropout),
  },
};
