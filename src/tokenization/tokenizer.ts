/** Token ids of one text or pair, special tokens included, not padded. */
export interface Encoding {
  /** `[tokens]` */
  inputIds: Int32Array;
  /** `[tokens]`; 0 for the first text and 1 for the second where the model tells them apart. */
  tokenTypeIds: Int32Array;
}

/** Token ids of a text that is given as words. */
export interface WordEncoding extends Encoding {
  /** `[tokens]`; index of the word that a token is a part of, -1 for special tokens. */
  wordIds: Int32Array;
}

/** Text to token ids, as the model's Hugging Face tokenizer makes them. */
export interface Tokenizer {
  readonly padTokenId: number;
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
}
