import { atOnce, type Sliced } from "../../runtime/slices.ts";
import { stem } from "./porter-stemmer.ts";

/** F-measures of a summary, 0 to 1, with the names of Python's rouge-score. */
export interface RougeScores {
  rouge1: number;
  rouge2: number;
  /** Longest common subsequence of the whole texts. */
  rougeL: number;
  /** By sentence, one per line: union of the longest common subsequences of each reference sentence with the summary's. */
  rougeLsum: number;
}

/**
 * Overlap of a text with a reference (Lin 2004, "ROUGE"), with stemmed words; equal to Python's rouge-score with
 * `use_stemmer=True`.
 * @example
 * ```ts
 * const { rougeL } = rouge("The cat sat.", "A cat sat down.");
 * ```
 */
export const rouge = (text: string, reference: string): RougeScores => atOnce(slicedRouge(text, reference));

export function* slicedRouge(text: string, reference: string): Sliced<RougeScores> {
  const [found, truth] = [wordsOf(text), wordsOf(reference)];
  return {
    rouge1: ofGrams(found, truth, 1),
    rouge2: ofGrams(found, truth, 2),
    rougeL: fMeasure((yield* commonPlaces(truth, found)).length, found.length, truth.length),
    rougeLsum: yield* ofSentences(sentencesOf(text), sentencesOf(reference)),
  };
}

function wordsOf(text: string): string[] {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return words.map((word) => (word.length > 3 ? stem(word) : word));
}

const sentencesOf = (text: string): string[][] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map(wordsOf);

function fMeasure(hits: number, found: number, truth: number): number {
  return hits === 0 ? 0 : (2 * hits) / (found + truth);
}

function ofGrams(found: readonly string[], truth: readonly string[], n: number): number {
  const [own, wanted] = [gramCounts(found, n), gramCounts(truth, n)];
  let hits = 0;
  for (const [gram, count] of wanted) hits += Math.min(count, own.get(gram) ?? 0);
  return fMeasure(hits, Math.max(0, found.length - n + 1), Math.max(0, truth.length - n + 1));
}

const gramCounts = (words: readonly string[], n: number): Map<string, number> =>
  countsOf(words.slice(n - 1).map((_, i) => words.slice(i, i + n).join(" ")));

function countsOf(items: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

function* ofSentences(found: readonly (readonly string[])[], truth: readonly (readonly string[])[]): Sliced<number> {
  // A word counts at most as often as it occurs in both texts; each of its places in the reference counts once.
  const own = countsOf(found.flat());
  let hits = 0;
  for (const sentence of truth) {
    const places = new Set<number>();
    for (const each of found) for (const place of yield* commonPlaces(sentence, each)) places.add(place);
    for (const word of [...places].map((place) => sentence[place]!)) {
      const left = own.get(word)!;
      if (left === 0) continue;
      hits++;
      own.set(word, left - 1);
    }
  }
  return fMeasure(hits, found.flat().length, truth.flat().length);
}

/** Indices in `truth` of a longest common subsequence; if there are several, the one that rouge-score finds. */
function* commonPlaces(truth: readonly string[], found: readonly string[]): Sliced<number[]> {
  const width = found.length + 1;
  const lengths = new Uint32Array((truth.length + 1) * width);
  for (let i = 1; i <= truth.length; i++) {
    yield;
    for (let j = 1; j <= found.length; j++) {
      lengths[i * width + j] =
        truth[i - 1] === found[j - 1]
          ? lengths[(i - 1) * width + j - 1]! + 1
          : Math.max(lengths[(i - 1) * width + j]!, lengths[i * width + j - 1]!);
    }
  }
  const places: number[] = [];
  let [i, j] = [truth.length, found.length];
  while (i > 0 && j > 0) {
    if (truth[i - 1] === found[j - 1]) {
      places.push(--i);
      j--;
    } else if (lengths[i * width + j - 1]! > lengths[(i - 1) * width + j]!) j--;
    else i--;
  }
  return places;
}
