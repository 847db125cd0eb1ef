/** A model that has read several texts and says of each what comes next: a decoder with its key-value cache. */
export interface TextReader {
  /**
   * Reads on.
   * @param more ids that follow each text, at least one each
   * @returns logits of the token after each, `[vocabulary]`; the caller may change them
   */
  read(more: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** Goes on with these texts, by their numbers so far: some may be left out, some taken several times. */
  keep(texts: readonly number[]): void;
  /** Frees what is cached. */
  release(): void;
}
