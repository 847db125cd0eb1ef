import { expect, test } from "vitest";
import { WordSearch } from "../../../src/inference/retrieval/bm25.ts";

test("BM25 finds rare words first", () => {
  const search = new WordSearch(["the cat sat", "the dog sat", "the cat and the dog", "a bird"]);
  expect(search.search("bird", 3).map(({ index }) => index)).toEqual([3]);
  expect(search.search("cat", 3).map(({ index }) => index)).toEqual([0, 2]);
  expect(search.search("fish", 3)).toEqual([]);
});

test("BM25 is that of Robertson and Zaragoza, with k1 = 1.2 and b = 0.75", () => {
  const texts = ["cat cat dog", "cat and a bird and a dog and a fish", "bird", "fish dog"];
  const lengths = texts.map((text) => new Set(text.split(" ")).size);
  const average = lengths.reduce((sum, length) => sum + length, 0) / texts.length;
  const score = (index: number, word: string): number => {
    const holding = texts.filter((text) => text.split(" ").includes(word)).length;
    const count = texts[index]!.split(" ").filter((each) => each === word).length;
    const rarity = Math.log(1 + (texts.length - holding + 0.5) / (holding + 0.5));
    return (rarity * count * (1.2 + 1)) / (count + 1.2 * (1 - 0.75 + (0.75 * lengths[index]!) / average));
  };
  const found = new WordSearch(texts).search("cat", 4);
  expect(found.map(({ index }) => index)).toEqual([0, 1]);
  for (const hit of found) expect(hit.score).toBeCloseTo(score(hit.index, "cat"), 10);
});

test("BM25 searches only the given texts, and returns the requested number", () => {
  const search = new WordSearch(["cat", "cat dog", "bird cat", "dog"]);
  expect(search.search("cat", 2)).toHaveLength(2);
  expect(search.search("cat", 9, new Set([1, 3])).map(({ index }) => index)).toEqual([1]);
  // One common word is enough; a word with the same beginning is a different one.
  expect(
    search
      .search("bird dog", 9)
      .map(({ index }) => index)
      .sort(),
  ).toEqual([1, 2, 3]);
  expect(search.search("ca", 9)).toEqual([]);
});
