import { atOnce, type Sliced } from "../runtime/slices.ts";
import type { Example, Prediction } from "./example.ts";
import { MAX_RESULTS, type SearchOutcome } from "./metrics/retrieval-metrics.ts";
import { dot, nearest, unitVector } from "./vectors.ts";

/** Examples in the form of a search. */
export interface HeldOutSearch {
  texts: readonly string[];
  queries: readonly {
    text: string;
    /** Indices of the texts that answer the query. */
    relevant: ReadonlySet<number>;
    /** Indices of the texts to search (default: all). */
    among?: ReadonlySet<number>;
  }[];
}

/** Whether examples are pairs or triplets: an anchor with texts, without a score. */
export const isPairs = ([first]: readonly Example[]): boolean =>
  first?.label === undefined && (first?.texts?.length ?? 0) > 0;

export interface QueryResult extends SearchOutcome {
  text: string;
  wanted: string | undefined;
  nearest: string | undefined;
  relevantScore: number | undefined;
  otherScore: number | undefined;
}

/** Results by predictions, so that all metrics of the same predictions share one search. */
const resultsByPredictions = new WeakMap<readonly Prediction[], QueryResult[]>();

export const outcomesOf = (predictions: readonly Prediction[], examples: readonly Example[]): QueryResult[] =>
  atOnce(searched(predictions, examples));

/**
 * Searches held-out examples, once for the same predictions. Pauses after each query. For pairs, each anchor is a query over all texts that
 * anchors are compared with; its positive is relevant, and so is the positive of any anchor with the same text. For texts with a class,
 * each text is a query over all others.
 */
export function* searched(predictions: readonly Prediction[], examples: readonly Example[]): Sliced<QueryResult[]> {
  const known = resultsByPredictions.get(predictions);
  if (known) return known;
  const outcomes: QueryResult[] = [];
  for (const outcome of isPairs(examples) ? searchPairs(predictions, examples) : searchClasses(predictions, examples)) {
    outcomes.push(outcome);
    yield;
  }
  resultsByPredictions.set(predictions, outcomes);
  return outcomes;
}

function* searchPairs(predictions: readonly Prediction[], examples: readonly Example[]): Generator<QueryResult, void> {
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
  for (const [q, { text, relevant }] of queries.entries()) {
    const vector = anchors.get(text)!;
    const other = pseudorandomIndex(q, texts.length);
    const found = nearest(vector, vectors, MAX_RESULTS);
    yield {
      text,
      wanted: texts[[...relevant][0]!],
      nearest: texts[found[0]!.index],
      hits: found.map(({ index }) => relevant.has(index)),
      relevant: relevant.size,
      relevantScore: dot(vector, vectors[[...relevant][0]!]!),
      otherScore: relevant.has(other) ? undefined : dot(vector, vectors[other]!),
    };
  }
}

function* searchClasses(
  predictions: readonly Prediction[],
  examples: readonly Example[],
): Generator<QueryResult, void> {
  const vectors = predictions.map((each) => unitVector(each.vectors![0]!));
  const count = examples.length;
  for (const [own, { text, label }] of examples.entries()) {
    const isRelevant = (index: number): boolean => index !== own && examples[index]!.label === label;
    const from = pseudorandomIndex(own, count);
    const score = (fits: (index: number) => boolean): number | undefined => {
      for (let i = 0; i < count; i++) {
        const index = (from + i) % count;
        if (fits(index)) return dot(vectors[own]!, vectors[index]!);
      }
      return undefined;
    };
    const found = nearest(vectors[own]!, vectors, MAX_RESULTS, (index) => index === own);
    yield {
      text,
      wanted: examples.find((_, index) => isRelevant(index))?.text,
      nearest: found[0] && examples[found[0].index]!.text,
      hits: found.map(({ index }) => isRelevant(index)),
      relevant: examples.filter((_, index) => isRelevant(index)).length,
      relevantScore: score(isRelevant),
      otherScore: score((index) => examples[index]!.label !== label),
    };
  }
}

const pseudorandomIndex = (number: number, of: number): number => (number * 7919) % of;

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
