import type { Value } from "../graph/graph.ts";
import type { ForwardContext } from "./forward-context.ts";
import type { PictureSize, SoundWindows } from "./model-parts.ts";
import type { Encoded, TokenStream } from "./streams/token-stream.ts";

/**
 * What a head gives: `sequence` a row of outputs for each example; `token` and `languageModel` a row for each token that
 * counts; `pooled`, which every family has, a vector for each example: its pooled hidden states.
 */
export type HeadName = keyof Heads<ModelConfig> | "pooled";

/**
 * Writes a head: one of {@link Heads}.
 * @param tokens the text or texts whose hidden states these are: a decoder's own, where there are two
 */
export type Head<Config extends ModelConfig> = (
  context: ForwardContext,
  config: Config,
  hidden: Value,
  outputs: number,
  tokens: TokenStream,
) => Value;

/**
 * The heads of a family; it need not have all. What `languageModel` reads is the pretrained model's own, and there in full,
 * where other heads may be made new for a task.
 */
export interface Heads<Config extends ModelConfig> {
  /** From all rows `[tokens, hidden]` to `[batch, outputs]`. */
  sequence?(...args: Parameters<Head<Config>>): Value;
  /** From the rows that count, `[outputRows, hidden]`, to `[outputRows, outputs]`, and so does `languageModel`. */
  token?(...args: Parameters<Head<Config>>): Value;
  languageModel?(...args: Parameters<Head<Config>>): Value;
}

/** What all families have, whatever their kind. */
interface Family<Config extends ModelConfig> {
  /** Values of `model_type` that this family answers to, each with what Hugging Face's classes begin with: `Bert`. */
  modelTypes: Readonly<Record<string, string>>;
  /** What its weights' names begin with in checkpoints of task models: `bert` in `bert.encoder.…`. */
  prefix: string;
  /** Modules that only a head reads though Hugging Face has them under the prefix, such as BERT's pooler. */
  headUnderPrefix?: readonly string[];
  /** Modules and weights of the pretrained model that stand beside what is under the prefix, such as a decoder's `lm_head`. */
  besidePrefix?: readonly string[];
  /** @throws UserError where config.json has a setting that is missing, malformed or not supported. */
  readConfig(raw: unknown): Config;
  /** The heads that it offers, as the family's `…For…` classes have them. */
  heads: Heads<Config>;
}

/** Every token sees every other: BERT and its relatives. */
export interface EncoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "encoder";
  /** Final hidden states, `[tokens, hidden]`. */
  encode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
  /** Whether it computes what stands at padding, too, as an ONNX file does; only attention does where absent. */
  padsRows?: true;
}

/** Every token sees those before it. */
export interface DecoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "decoder";
  /** Final hidden states, `[tokens, hidden]`. */
  decode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
}

/** A decoder that also sees another text, which an encoder has read. */
export interface EncoderDecoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "encoder-decoder";
  /** The encoder's hidden states, `[tokens, hidden]`. */
  encode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
  /** Final hidden states of the decoder's own text, `[decoder.tokens, hidden]`. */
  decode(context: ForwardContext, config: Config, tokens: TokenStream, encoded: Encoded): Value;
}

/** A family of models: one file each, chosen by `model_type` of config.json. */
export type Architecture<Config extends ModelConfig = ModelConfig> =
  | EncoderArchitecture<Config>
  | DecoderArchitecture<Config>
  | EncoderDecoderArchitecture<Config>;

/** What every family's configuration has. */
export interface ModelConfig {
  modelType: string;
  hiddenSize: number;
  layerCount: number;
  /** Most tokens of one example, special tokens included. */
  maxLength: number;
  /** Standard deviation of newly made weights. */
  initializerRange: number;
  /** Whether the second text of a pair is told by token types. */
  usesTokenTypes: boolean;
  /** Number of labels that the checkpoint's own head has. */
  labelCount: number;
  /** Rows of its table of words: outputs of a language-model head. */
  vocabularySize: number;
  /** Of a model that reads pictures in place of texts: it makes `maxLength` tokens of each. */
  picture?: PictureSize;
  /** Of a model that reads sounds in place of texts. */
  sound?: SoundWindows;
}
