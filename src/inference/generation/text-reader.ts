/** A model that has read several texts and says of each what comes next: a decoder with its key-value cache. */
export interface TextReader {
  /**
   * Reads on.
   * @param more ids that follow each text, at least one each
   * @returns logits of the token after each, `[vocabulary]`, until it reads on; the caller may change them
   */
  read(more: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** Goes on with these texts, by their numbers so far: some may be left out, some taken several times. */
  keep(texts: readonly number[]): void;
  /**
   * Reads one text on, where no other is read. Absent where the last token alone has logits.
   * @returns logits of the token after each of `ids`
   */
  readEach?(ids: readonly number[]): Promise<Float32Array[]>;
  /** Whether one token of the one text takes as long as two: a second is read with it anyway. */
  readonly readsPairs?: boolean;
  /** Takes back the last tokens of that text. */
  forget?(count: number): void;
  /** Reads texts that come beside the others. @returns logits as {@link read}, of these alone */
  join?(prompts: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** Frees what is cached. */
  release(): void;
}
