import type { Example, Prediction } from "./example.ts";
import { DEEPEST, type SearchOutcome } from "./metrics/retrieval-metrics.ts";
import { dot, nearest, unitVector } from "./vectors.ts";

/** Examples as a search. */
export interface HeldOutSearch {
  texts: readonly string[];
  queries: readonly {
    text: string;
    /** Numbers of the texts that answer it. */
    relevant: ReadonlySet<number>;
    /** Numbers of those that it is put to; absent: all. */
    among?: ReadonlySet<number>;
  }[];
}

/** Whether examples are pairs or triplets: an anchor with texts, and no score. */
export const isPairs = ([first]: readonly Example[]): boolean =>
  first?.label === undefined && (first?.texts?.length ?? 0) > 0;

/** A query among texts, with how near each of them is that was found. */
export interface Found extends SearchOutcome {
  text: string;
  /** Cosines with a text that belongs to the query, and with one that does not, where there are such. */
  relevantScore: number | undefined;
  otherScore: number | undefined;
}

/** Searches are made once for all metrics of the same predictions. */
const searched = new WeakMap<readonly Prediction[], Found[]>();

/**
 * Of pairs: each anchor is a query, and all texts that anchors are compared with are searched; its positive is relevant,
 * and whatever else is a positive of an anchor of the same text. Of texts with a class: each text is a query among all others.
 */
export function outcomesOf(predictions: readonly Prediction[], examples: readonly Example[]): Found[] {
  const known = searched.get(predictions);
  if (known) return known;
  const outcomes = isPairs(examples) ? searchPairs(predictions, examples) : searchClasses(predictions, examples);
  searched.set(predictions, outcomes);
  return outcomes;
}

function searchPairs(predictions: readonly Prediction[], examples: readonly Example[]): Found[] {
  const { texts, queries } = pairsAsSearch(examples);
  const places = new Map(texts.map((text, index) => [text, index]));
  const vectors = new Array<Float32Array>(texts.length);
  const anchors = new Map<string, Float32Array>();
  examples.forEach(({ text, texts: own = [] }, i) => {
    const [anchor, ...others] = predictions[i]!.vectors!;
    own.forEach((each, j) => {
      vectors[places.get(each)!] ??= unitVector(others[j]!);
    });
    if (!anchors.has(text)) anchors.set(text, unitVector(anchor!));
  });
  return queries.map(({ text, relevant }, q) => {
    const vector = anchors.get(text)!;
    const other = drawn(q, texts.length);
    return {
      text,
      hits: nearest(vector, vectors, DEEPEST).map(({ index }) => relevant.has(index)),
      relevant: relevant.size,
      relevantScore: dot(vector, vectors[[...relevant][0]!]!),
      otherScore: relevant.has(other) ? undefined : dot(vector, vectors[other]!),
    };
  });
}

function searchClasses(predictions: readonly Prediction[], examples: readonly Example[]): Found[] {
  const vectors = predictions.map((each) => unitVector(each.vectors![0]!));
  const count = examples.length;
  return examples.map(({ text, label }, own) => {
    const isRelevant = (index: number): boolean => index !== own && examples[index]!.label === label;
    // The first of each sort after a place that is drawn.
    const from = drawn(own, count);
    const score = (fits: (index: number) => boolean): number | undefined => {
      for (let i = 0; i < count; i++) {
        const index = (from + i) % count;
        if (fits(index)) return dot(vectors[own]!, vectors[index]!);
      }
      return undefined;
    };
    return {
      text,
      hits: nearest(vectors[own]!, vectors, DEEPEST, (index) => index === own).map(({ index }) => isRelevant(index)),
      relevant: examples.filter((_, index) => isRelevant(index)).length,
      relevantScore: score(isRelevant),
      otherScore: score((index) => examples[index]!.label !== label),
    };
  });
}

/** A place among so many, the same for the same number. */
const drawn = (number: number, of: number): number => (number * 7919) % of;

/** Held-out pairs as a search: each anchor's text once, among all texts that anchors are compared with. */
export function pairsAsSearch(examples: readonly Example[]): HeldOutSearch {
  const places = new Map<string, number>();
  const placeOf = (text: string): number => {
    if (!places.has(text)) places.set(text, places.size);
    return places.get(text)!;
  };
  const queries = new Map<string, Set<number>>();
  for (const { text, texts = [] } of examples) {
    const [positive] = texts.map(placeOf);
    queries.set(text, (queries.get(text) ?? new Set<number>()).add(positive!));
  }
  return { texts: [...places.keys()], queries: [...queries].map(([text, relevant]) => ({ text, relevant })) };
}
