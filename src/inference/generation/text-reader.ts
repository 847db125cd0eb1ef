export interface TextReader {
  /**
   * Reads further tokens.
   * @returns logits of the next token of each text, `[vocabulary]`, valid until the next read; the caller may change them
   */
  read(more: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** Selects texts by their indices: some may be dropped, others duplicated. */
  keep(texts: readonly number[]): void;
  /** Reads further tokens of the only text. Undefined if only the last token gets logits. */
  readEach?(ids: readonly number[]): Promise<Float32Array[]>;
  /** Whether one token of the only text takes as long as two, so that a second one is read with it. */
  readonly readsPairs?: boolean;
  forget?(count: number): void;
  join?(prompts: readonly (readonly number[])[]): Promise<Float32Array[]>;
  release(): void;
}
