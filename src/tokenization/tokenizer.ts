import type { ChatTemplate } from "./chat-template.ts";

/** Token ids of one text or pair, special tokens included, not padded. */
export interface Encoding {
  /** `[tokens]` */
  inputIds: Int32Array;
  /** `[tokens]`; 0 for the first text and 1 for the second where the model tells them apart. */
  tokenTypeIds: Int32Array;
  /** Whether tokens were cut away; absent where nobody looked. */
  cut?: boolean;
}

/** Token ids of a text that is given as words. */
export interface WordEncoding extends Encoding {
  /** `[tokens]`; index of the word that a token is a part of, -1 for special tokens. */
  wordIds: Int32Array;
}

/** A token with a part of its own, such as the one that ends a text. */
export interface SpecialToken {
  id: number;
  text: string;
}

/** Text to token ids and back, as the model's Hugging Face tokenizer makes them. */
export interface Tokenizer {
  readonly padTokenId: number;
  /**
   * By the names that Transformers has for them, without `_token`; those that the model's files name. `decoderStart` is what
   * an encoder-decoder's decoder reads first.
   */
  readonly specialTokens: Readonly<Partial<Record<"bos" | "eos" | "decoderStart", SpecialToken>>>;
  /** How conversations are written, where the model's files say. */
  readonly chatTemplate: ChatTemplate | undefined;
  /**
   * Encodes a text or a pair, cut to at most `maxLength` tokens (special tokens counted) as Transformers'
   * `truncation="longest_first"` cuts. An empty second text is a pair all the same, as in Transformers' batches.
   * @throws UserError where the special tokens alone are longer.
   */
  encode(text: string, textPair: string | undefined, maxLength: number): Encoding;
  /**
   * Encodes a text that is given as words, cut to at most `maxLength` tokens, as Transformers' `is_split_into_words=True`
   * (with `add_prefix_space=True` for byte-level tokenizers). A word may come to several tokens, or none.
   * @throws UserError where the special tokens alone are longer.
   */
  encodeWords(words: readonly string[], maxLength: number): WordEncoding;
  /** Ids of a text as it stands: special tokens that are written in it are known, none is put around it. */
  idsOf(text: string): number[];
  /** The text of ids, special tokens written out unless they are to be left out. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /**
   * The bytes that each token writes, by id; none of special tokens. Read anew at each call.
   * @throws UserError where what a token writes depends on those around it, as with WordPiece.
   */
  tokenBytes(): (Uint8Array | undefined)[];
}
