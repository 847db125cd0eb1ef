import MiniSearch from "minisearch";
import type { Hit } from "../../tasks/vectors.ts";

/** Okapi BM25 as Robertson and Zaragoza (2009) have it: MiniSearch's BM25+ without its addend; a text's length is its number of different words. */
const BM25 = { k: 1.2, b: 0.75, d: 0 };

/** Search by words: what a search without a model finds. */
export class WordSearch {
  readonly #index = new MiniSearch<{ id: number; text: string }>({ fields: ["text"] });

  constructor(texts: readonly string[]) {
    this.#index.addAll(texts.map((text, id) => ({ id, text })));
  }

  /**
   * The texts that share the most telling words with a query, the best first; fewer where fewer share any.
   * @param among numbers of the texts to look at; all where absent
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
