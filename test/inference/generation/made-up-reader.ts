import type { TextReader } from "../../../src/inference/generation/text-reader.ts";

/** A reader whose next token is a function of everything that it has read. */
export class MadeUpReader implements TextReader {
  #texts: number[][] = [];
  readonly #logits: (text: readonly number[]) => readonly number[];

  constructor(logits: (text: readonly number[]) => readonly number[]) {
    this.#logits = logits;
  }

  read(more: readonly (readonly number[])[]): Promise<Float32Array[]> {
    this.#texts = more.map((ids, i) => [...(this.#texts[i] ?? []), ...ids]);
    return Promise.resolve(this.#texts.map((text) => Float32Array.from(this.#logits(text))));
  }

  keep(texts: readonly number[]): void {
    this.#texts = texts.map((text) => this.#texts[text]!);
  }

  release(): void {}
}

/** Logits that differ for each text, from its hash. */
export const hashed =
  (vocabulary: number) =>
  (text: readonly number[]): number[] =>
    Array.from({ length: vocabulary }, (_, token) => {
      let hash = token + 1;
      for (const id of text) hash = Math.imul(hash ^ (id + 7), 0x9e3779b1) ^ (hash >>> 15);
      return ((hash >>> 8) % 1000) / 200;
    });
