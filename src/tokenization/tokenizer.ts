/** Token ids of one text or pair, special tokens included, not padded. */
export interface Encoding {
  /** `[tokens]` */
  inputIds: Int32Array;
  /** `[tokens]`; 0 for the first text and 1 for the second where the model tells them apart. */
  tokenTypeIds: Int32Array;
}

/** Text to token ids, as the model's Hugging Face tokenizer makes them. */
export interface Tokenizer {
  readonly padTokenId: number;
  /**
   * Encodes a text or a pair, cut to at most `maxLength` tokens (special tokens counted) as Transformers'
   * `truncation="longest_first"` cuts.
   */
  encode(text: string, textPair: string | undefined, maxLength: number): Encoding;
}
