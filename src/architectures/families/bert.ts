import { z } from "zod";
import { tanh } from "../../graph/ops.ts";
import { ACTIVATION_NAMES } from "../activation.ts";
import type { EncoderArchitecture, ModelConfig } from "../architecture.ts";
import { evenHeads, labelCountOf, parseConfig, rate } from "../config.ts";
import { bertEmbeddings, type EmbeddingConfig, type EncoderConfig, encoder } from "../encoder.ts";
import { plainTokenHead } from "../heads.ts";

export interface BertConfig extends ModelConfig, EmbeddingConfig, EncoderConfig {
  classifierDropout: number;
}

export const bertSchema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  intermediate_size: z.int().positive(),
  hidden_act: z.enum(ACTIVATION_NAMES).default("gelu"),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  max_position_embeddings: z.int().positive().default(512),
  type_vocab_size: z.int().nonnegative().default(2),
  initializer_range: z.number().default(0.02),
  layer_norm_eps: z.number().default(1e-12),
  position_embedding_type: z.literal("absolute").default("absolute"),
  is_decoder: z.literal(false).default(false),
});

export function bertConfig(raw: unknown, config: z.output<typeof bertSchema>, firstPosition = 0): BertConfig {
  return {
    modelType: config.model_type,
    vocabularySize: config.vocab_size,
    hiddenSize: config.hidden_size,
    embeddingSize: config.hidden_size,
    layerCount: config.num_hidden_layers,
    heads: evenHeads(config.hidden_size, config.num_attention_heads),
    intermediateSize: config.intermediate_size,
    activation: config.hidden_act,
    hiddenDropout: config.hidden_dropout_prob,
    attentionDropout: config.attention_probs_dropout_prob,
    classifierDropout: config.classifier_dropout ?? config.hidden_dropout_prob,
    maxLength: config.max_position_embeddings - firstPosition,
    firstPosition,
    typeVocabularySize: config.type_vocab_size,
    initializerRange: config.initializer_range,
    layerNormEpsilon: config.layer_norm_eps,
    usesTokenTypes: config.type_vocab_size > 1,
    labelCount: labelCountOf(raw),
  };
}

/** BERT and models of its layout (MiniLM): Devlin et al., arXiv 1810.04805; Hugging Face's `modeling_bert.py`. */
export const bert: EncoderArchitecture<BertConfig> = {
  kind: "encoder",
  modelTypes: { bert: "Bert" },
  prefix: "bert",
  headUnderPrefix: ["pooler"],

  readConfig: (raw) => bertConfig(raw, parseConfig(bertSchema, raw)),

  encode: (context, config, tokens) => encoder(context, config, tokens, bertEmbeddings(context, config, tokens)),

  heads: {
    sequence(context, { hiddenSize, classifierDropout }, hidden, outputs, tokens) {
      const first = tokens.first(hidden);
      const pooled = tanh(context.dense(first, "pooler.dense", hiddenSize, hiddenSize));
      return context.dense(context.dropout(pooled, classifierDropout), "classifier", hiddenSize, outputs);
    },
    token: plainTokenHead(({ classifierDropout }) => classifierDropout),
  },
};
