import MiniSearch from "minisearch";
import type { Hit } from "../../tasks/vectors.ts";

/** Okapi BM25 (Robertson and Zaragoza 2009): MiniSearch's BM25+ without its addend; a text's length is its number of different words. */
const BM25 = { k: 1.2, b: 0.75, d: 0 };

export class WordSearch {
  readonly #index = new MiniSearch<{ id: number; text: string }>({ fields: ["text"] });

  constructor(texts: readonly string[]) {
    this.#index.addAll(texts.map((text, id) => ({ id, text })));
  }

  /**
   * Texts with the best BM25 scores for a query, best first; fewer if fewer share a word with it.
   * @param among indices of the texts to search (default: all)
   */
  search(query: string, count: number, among?: ReadonlySet<number>): Hit[] {
    const found = this.#index.search(query, {
      bm25: BM25,
      combineWith: "OR",
      prefix: false,
      fuzzy: false,
      ...(among && { filter: ({ id }) => among.has(id) }),
    });
    return found.slice(0, count).map(({ id, score }) => ({ index: id, score }));
  }
}
