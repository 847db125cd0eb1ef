import type { Value } from "../graph/graph.ts";
import { add, gather } from "../graph/ops.ts";
import { ACTIVATIONS, type Activation } from "./activation.ts";
import { attention, maskBias } from "./attention.ts";
import type { ForwardContext } from "./forward-context.ts";
import type { ModuleRole } from "./model-parts.ts";
import type { TokenStream } from "./streams/token-stream.ts";

export interface EmbeddingConfig {
  vocabularySize: number;
  embeddingSize: number;
  typeVocabularySize: number;
  maxLength: number;
  /** Row of the first token's position; the rows before it belong to padding. */
  firstPosition: number;
  layerNormEpsilon: number;
  hiddenDropout: number;
}

export interface EncoderConfig {
  hiddenSize: number;
  layerCount: number;
  heads: number;
  intermediateSize: number;
  activation: Activation;
  layerNormEpsilon: number;
  hiddenDropout: number;
  attentionDropout: number;
}

export function embeddingSum(
  context: ForwardContext,
  config: Omit<EmbeddingConfig, "layerNormEpsilon" | "hiddenDropout">,
  tokens: TokenStream,
  { positions = true } = {},
): Value {
  const { embeddingSize, typeVocabularySize, firstPosition } = config;
  const table = (name: string, rows: number) => context.weight(`embeddings.${name}.weight`, [rows, embeddingSize]);
  let sum = context.lookup("embeddings.word_embeddings", [config.vocabularySize, embeddingSize], tokens.inputIds);
  if (typeVocabularySize > 0) {
    const types = table("token_type_embeddings", typeVocabularySize);
    sum = add(sum, typeVocabularySize === 1 ? types : gather(types, tokens.tokenTypeIds));
  }
  if (positions) {
    const rows = table("position_embeddings", firstPosition + config.maxLength);
    const first = context.graph.constant([firstPosition], "int32");
    sum = add(sum, gather(rows, firstPosition > 0 ? add(tokens.positionIds, first) : tokens.positionIds));
  }
  return sum;
}

export function bertEmbeddings(context: ForwardContext, config: EmbeddingConfig, tokens: TokenStream): Value {
  const sum = embeddingSum(context, config, tokens);
  return context.dropout(context.layerNorm(sum, "embeddings.LayerNorm", config.layerNormEpsilon), config.hiddenDropout);
}

export interface BlockNames {
  blocks: string;
  query: string;
  key: string;
  value: string;
  attended: string;
  attendedNorm: string;
  inner: string;
  outer: string;
  outerNorm: string;
}

export const BERT_NAMES: BlockNames = {
  blocks: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attended: "attention.output.dense",
  attendedNorm: "attention.output.LayerNorm",
  inner: "intermediate.dense",
  outer: "output.dense",
  outerNorm: "output.LayerNorm",
};

export interface BlockAttention {
  query: Value;
  key: Value;
  /** Applies a linear layer of this block's attention by its name within the block: `[rows, hidden]` → same shape. */
  linear(x: Value, name: string): Value;
  prefix: string;
}

export interface BlockOptions {
  names?: BlockNames;
  /**
   * Returns the bias of the scaled scores, broadcast over `[batch, heads, sequence, sequence]` (default: padding's).
   */
  bias?(attention: BlockAttention): Value;
  scale?: number;
  attendedDropout?: number;
}

/**
 * Writes a block like BERT's, `[tokens, hidden]` → same shape: self-attention and feed-forward network, each followed
 * by dropout, the residual and a normalisation.
 */
export function encoderBlock(
  context: ForwardContext,
  config: EncoderConfig,
  tokens: TokenStream,
  x: Value,
  block: number,
  { names = BERT_NAMES, bias, scale, attendedDropout = config.hiddenDropout }: BlockOptions,
): Value {
  const { hiddenSize, intermediateSize, heads } = config;
  const prefix = `${names.blocks}.${block}`;
  const linearModule = (input: Value, name: string, role: ModuleRole, outFeatures: number): Value => {
    const inFeatures = input.shape[1] as number;
    return context.linear(input, { name: `${prefix}.${name}`, role, block, inFeatures, outFeatures });
  };
  const residual = (input: Value, output: Value, dropout: number, name: string): Value =>
    context.layerNorm(add(context.dropout(output, dropout), input), `${prefix}.${name}`, config.layerNormEpsilon);
  const linear = (input: Value, name: string): Value => linearModule(input, name, "attention", hiddenSize);

  const query = linear(x, names.query);
  const key = linear(x, names.key);
  const value = linear(x, names.value);
  const attended = attention(
    context,
    { query, key, value },
    { queries: tokens },
    {
      heads,
      bias: bias?.({ query, key, linear, prefix }) ?? maskBias(tokens),
      dropout: config.attentionDropout,
      ...(scale && { scale }),
    },
  );
  const afterAttention = residual(x, linear(attended, names.attended), attendedDropout, names.attendedNorm);
  const inner = ACTIVATIONS[config.activation](linearModule(afterAttention, names.inner, "ffn", intermediateSize));
  return residual(
    afterAttention,
    linearModule(inner, names.outer, "ffn", hiddenSize),
    config.hiddenDropout,
    names.outerNorm,
  );
}

export function encoder(
  context: ForwardContext,
  config: EncoderConfig,
  tokens: TokenStream,
  embeddings: Value,
  options: BlockOptions = {},
): Value {
  let x = embeddings;
  for (let block = 0; block < config.layerCount; block++) {
    x = context.block(x, (input) => encoderBlock(context, config, tokens, input, block, options));
  }
  return x;
}
