import { z } from "zod";
import type { Value } from "../graph/graph.ts";
import { add, gather, reshape, sliceSize, tanh } from "../graph/ops.ts";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activation.ts";
import type { Architecture, LinearSite, ModelConfig, ModelInputs, SiteRole } from "./architecture.ts";
import { attention, maskBias } from "./attention.ts";
import { labelCountOf, parseConfig } from "./config.ts";
import { type ForwardContext, TOKENS } from "./forward-context.ts";

/** What the encoder blocks of BERT and its relatives need to know. */
export interface BertEncoderConfig {
  hiddenSize: number;
  layerCount: number;
  heads: number;
  intermediateSize: number;
  activation: Activation;
  layerNormEpsilon: number;
  hiddenDropout: number;
  attentionDropout: number;
}

export interface BertConfig extends ModelConfig, BertEncoderConfig {
  vocabularySize: number;
  typeVocabularySize: number;
  classifierDropout: number;
}

const schema = z.object({
  model_type: z.string(),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  intermediate_size: z.int().positive(),
  hidden_act: z.enum(ACTIVATION_NAMES).default("gelu"),
  hidden_dropout_prob: z.number().default(0.1),
  attention_probs_dropout_prob: z.number().default(0.1),
  classifier_dropout: z.number().nullish(),
  max_position_embeddings: z.int().positive().default(512),
  type_vocab_size: z.int().positive().default(2),
  initializer_range: z.number().default(0.02),
  layer_norm_eps: z.number().default(1e-12),
  position_embedding_type: z.literal("absolute").default("absolute"),
});

/** BERT and what shares its layout (MiniLM): Devlin et al., arXiv 1810.04805; Hugging Face's `modeling_bert.py`. */
export const bert: Architecture<BertConfig> = {
  modelTypes: ["bert"],
  prefix: "bert",

  readConfig(raw) {
    const config = parseConfig(schema, raw);
    return {
      modelType: config.model_type,
      vocabularySize: config.vocab_size,
      hiddenSize: config.hidden_size,
      layerCount: config.num_hidden_layers,
      heads: config.num_attention_heads,
      intermediateSize: config.intermediate_size,
      activation: config.hidden_act,
      hiddenDropout: config.hidden_dropout_prob,
      attentionDropout: config.attention_probs_dropout_prob,
      classifierDropout: config.classifier_dropout ?? config.hidden_dropout_prob,
      maxLength: config.max_position_embeddings,
      typeVocabularySize: config.type_vocab_size,
      initializerRange: config.initializer_range,
      layerNormEpsilon: config.layer_norm_eps,
      usesTokenTypes: config.type_vocab_size > 1,
      labelCount: labelCountOf(raw),
    };
  },

  backbone(context, config, inputs) {
    return bertEncoder(context, config, bertEmbeddings(context, config, inputs), inputs);
  },

  sequenceHead(context, config, hidden, labelCount) {
    const pooled = tanh(context.dense(firstTokens(hidden), "pooler.dense", config.hiddenSize, config.hiddenSize));
    return context.dense(
      context.dropout(pooled, config.classifierDropout),
      "classifier",
      config.hiddenSize,
      labelCount,
    );
  },
};

/** Word, position and type embeddings, normalised, `[batch*sequence, hidden]`. */
function bertEmbeddings(context: ForwardContext, config: BertConfig, { inputIds, tokenTypeIds }: ModelInputs): Value {
  const { hiddenSize } = config;
  const words = context.weight("embeddings.word_embeddings.weight", [config.vocabularySize, hiddenSize]);
  const positions = context.weight("embeddings.position_embeddings.weight", [config.maxLength, hiddenSize]);
  const types = context.weight("embeddings.token_type_embeddings.weight", [config.typeVocabularySize, hiddenSize]);
  const sum = add(
    add(gather(words, inputIds), gather(types, tokenTypeIds)),
    reshape(sliceSize(positions, 0, 0, "sequence"), ["sequence", 1, hiddenSize]),
  );
  const normalised = context.layerNorm(
    reshape(sum, [TOKENS, hiddenSize]),
    "embeddings.LayerNorm",
    config.layerNormEpsilon,
  );
  return context.dropout(normalised, config.hiddenDropout);
}

/** The blocks: self-attention and feed-forward network, each followed by dropout, the residual and a normalisation. */
export function bertEncoder(
  context: ForwardContext,
  config: BertEncoderConfig,
  embeddings: Value,
  { attentionMask }: ModelInputs,
): Value {
  const { hiddenSize, intermediateSize, heads, layerNormEpsilon } = config;
  const bias = maskBias(attentionMask);
  let x = embeddings;
  for (let block = 0; block < config.layerCount; block++) {
    const prefix = `encoder.layer.${block}`;
    const linear = (input: Value, name: string, role: SiteRole, outFeatures: number): Value => {
      const inFeatures = input.shape[1] as number;
      const site: LinearSite = { name: `${prefix}.${name}`, role, block, inFeatures, outFeatures };
      return context.linear(input, site);
    };
    const residual = (input: Value, output: Value, name: string): Value =>
      context.layerNorm(
        add(context.dropout(output, config.hiddenDropout), input),
        `${prefix}.${name}.LayerNorm`,
        layerNormEpsilon,
      );

    const attended = attention(
      context,
      {
        query: linear(x, "attention.self.query", "attention", hiddenSize),
        key: linear(x, "attention.self.key", "attention", hiddenSize),
        value: linear(x, "attention.self.value", "attention", hiddenSize),
      },
      { heads, bias, dropout: config.attentionDropout },
    );
    x = residual(x, linear(attended, "attention.output.dense", "attention", hiddenSize), "attention.output");
    const inner = ACTIVATIONS[config.activation](linear(x, "intermediate.dense", "ffn", intermediateSize));
    x = residual(x, linear(inner, "output.dense", "ffn", hiddenSize), "output");
  }
  return x;
}

/** Hidden states of each example's first token, `[batch, hidden]`. */
export function firstTokens(hidden: Value): Value {
  return sliceSize(hidden, 0, 0, "batch");
}
