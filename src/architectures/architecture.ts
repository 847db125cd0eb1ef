import type { Value } from "../graph/graph.ts";
import type { ForwardContext } from "./forward-context.ts";
import type { PictureSize, SoundWindows } from "./model-parts.ts";
import type { Encoded, TokenStream } from "./streams/token-stream.ts";

/**
 * Name of a head. `sequence` returns a row of outputs for each example; `token` and `languageModel` a row for each
 * selected token; `pooled`, which every family has, a vector for each example: its pooled hidden states.
 */
export type HeadName = keyof Heads<ModelConfig> | "pooled";

/** A head that a kind of task brings along, over the hidden states of any family. */
export interface OwnHead {
  /** Name for messages; it identifies the head among those that are loaded together. */
  readonly name: string;
  /** Whether a text as a whole has a row of outputs, or each selected token. */
  readonly rows: "text" | "token";
  /** Writes it from all rows `[tokens, hidden]` to `[batch, outputs]`, or from the selected ones to `[outputRows, outputs]`. */
  readonly write: Head<ModelConfig>;
}

/** The head that a kind of task needs. */
export type KindHead = HeadName | OwnHead;

/**
 * Writes a head: one of {@link Heads}.
 * @param tokens the texts whose hidden states these are; the decoder's if there are two
 */
export type Head<Config extends ModelConfig> = (
  context: ForwardContext,
  config: Config,
  hidden: Value,
  outputs: number,
  tokens: TokenStream,
) => Value;

/**
 * The heads of a family, which need not have all. The weights of `languageModel` belong to the pretrained model and are
 * required; those of other heads may be newly initialised for a task.
 */
export interface Heads<Config extends ModelConfig> {
  /** From all rows `[tokens, hidden]` to `[batch, outputs]`. */
  sequence?(...args: Parameters<Head<Config>>): Value;
  /** From selected rows `[outputRows, hidden]` to `[outputRows, outputs]`, as does `languageModel`. */
  token?(...args: Parameters<Head<Config>>): Value;
  languageModel?(...args: Parameters<Head<Config>>): Value;
}

/** Properties of families of all kinds. */
interface Family<Config extends ModelConfig> {
  /** Supported values of `model_type`, each with the prefix of its Hugging Face classes: `Bert`. */
  modelTypes: Readonly<Record<string, string>>;
  /** Prefix of weight names in checkpoints of task models: `bert` in `bert.encoder.…`. */
  prefix: string;
  /** Modules under the prefix that only a head reads, such as BERT's pooler. */
  headUnderPrefix?: readonly string[];
  /** Modules and weights of the pretrained model outside of the prefix, such as a decoder's `lm_head`. */
  besidePrefix?: readonly string[];
  /** Parses config.json. @throws UserError if a setting is missing, malformed or not supported. */
  readConfig(raw: unknown): Config;
  /** Its heads, as in the family's `…For…` classes. */
  heads: Heads<Config>;
}

/** Encoders, in which every token attends to every other: BERT and its relatives. */
export interface EncoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "encoder";
  /** Writes the model without its head. Returns the final hidden states, `[tokens, hidden]`. */
  encode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
  /** Whether it also computes rows at padding, as ONNX files do (default: only attention pads). */
  padsRows?: true;
}

/** Decoders, in which every token attends to itself and earlier ones. */
export interface DecoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "decoder";
  /** Writes the model without its head. Returns the final hidden states, `[tokens, hidden]`. */
  decode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
}

/** Encoder-decoders, whose decoder also attends to a text that an encoder has read. */
export interface EncoderDecoderArchitecture<Config extends ModelConfig = ModelConfig> extends Family<Config> {
  kind: "encoder-decoder";
  /** Writes the encoder. Returns its hidden states, `[tokens, hidden]`. */
  encode(context: ForwardContext, config: Config, tokens: TokenStream): Value;
  /** Writes the decoder. Returns the final hidden states of its own text, `[decoder.tokens, hidden]`. */
  decode(context: ForwardContext, config: Config, tokens: TokenStream, encoded: Encoded): Value;
}

/** A model family: one file each, chosen by `model_type` of config.json. */
export type Architecture<Config extends ModelConfig = ModelConfig> =
  | EncoderArchitecture<Config>
  | DecoderArchitecture<Config>
  | EncoderDecoderArchitecture<Config>;

/** Settings that every family's configuration has. */
export interface ModelConfig {
  modelType: string;
  hiddenSize: number;
  layerCount: number;
  /** Maximum length of an example in tokens, including special tokens. */
  maxLength: number;
  /** Standard deviation of newly initialised weights. */
  initializerRange: number;
  /** Whether token types mark the second text of a pair. */
  usesTokenTypes: boolean;
  /** Number of labels of the checkpoint's own head. */
  labelCount: number;
  /** Rows of its token embeddings, and outputs of a language-model head. */
  vocabularySize: number;
  /** Set if the model reads pictures instead of texts: each becomes `maxLength` tokens. */
  picture?: PictureSize;
  /** Set if the model reads sounds instead of texts. */
  sound?: SoundWindows;
}
