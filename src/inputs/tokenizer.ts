import type { ChatTemplate } from "./chat-template.ts";

/** Token ids of one text or pair, special tokens included, not padded. */
export interface Encoding {
  /** `[tokens]` */
  inputIds: Int32Array;
  /** `[tokens]`; 0 for the first text and 1 for the second, if the model distinguishes them. */
  tokenTypeIds: Int32Array;
  /** Whether the text was truncated; undefined if that is not known. */
  cut?: boolean;
}

/** Token ids of a text that is given as words. */
export interface WordEncoding extends Encoding {
  /** `[tokens]`; index of the word to which a token belongs, -1 for special tokens. */
  wordIds: Int32Array;
}

/** A special token, such as the one that ends a text. */
export interface SpecialToken {
  id: number;
  text: string;
}

/** Converts text to token ids and back, like the model's Hugging Face tokenizer. */
export interface Tokenizer {
  readonly padTokenId: number;
  /**
   * Special tokens that the model's files define, by Transformers' names without `_token`. `decoderStart` is the first
   * input of an encoder-decoder's decoder.
   */
  readonly specialTokens: Readonly<Partial<Record<"bos" | "eos" | "decoderStart", SpecialToken>>>;
  /** Format of conversations, if the model's files define one. */
  readonly chatTemplate: ChatTemplate | undefined;
  /**
   * Encodes a text or a pair, truncated to `maxLength` tokens (including special tokens) like Transformers'
   * `truncation="longest_first"`. An empty second text still makes a pair, as in Transformers' batches.
   * @throws UserError if the special tokens alone exceed `maxLength`.
   */
  encode(text: string, textPair: string | undefined, maxLength: number): Encoding;
  /**
   * Encodes a text that is given as words, truncated to `maxLength` tokens, like Transformers' `is_split_into_words=True`
   * (with `add_prefix_space=True` for byte-level tokenizers). A word may become several tokens, or none.
   * @throws UserError if the special tokens alone exceed `maxLength`.
   */
  encodeWords(words: readonly string[], maxLength: number): WordEncoding;
  /** Returns a text's ids without adding special tokens; those written in the text are recognised. */
  idsOf(text: string): number[];
  /** Returns the text of ids, with special tokens unless they are skipped. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /**
   * Returns the bytes that each token writes, by id; undefined for special tokens. Computed at each call.
   * @throws UserError if a token's text depends on the tokens around it, as with WordPiece.
   */
  tokenBytes(): (Uint8Array | undefined)[];
}
