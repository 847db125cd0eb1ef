import { expect, test } from "vitest";
import { embedding } from "../../src/tasks/kinds/embedding.ts";
import { reranker } from "../../src/tasks/kinds/reranker.ts";
import { scoresOfPairs, shortScores } from "../../src/tasks/metrics/pair-scores.ts";
import { SEARCH_METRICS, type SearchOutcome, searchMetric } from "../../src/tasks/metrics/retrieval-metrics.ts";
import { nearest, unitVector } from "../../src/tasks/vectors.ts";
import { readJson } from "../support/small-bert.ts";

const { retrieval, similarity, reranking } = readJson("embeddings/evaluators.json") as {
  retrieval: { outcomes: SearchOutcome[]; metrics: Record<string, number> };
  similarity: { pairs: { vectors: number[][]; score: number }[]; pearson: number; spearmanr: number };
  reranking: { queries: { scores: number[]; relevant: number }[]; metrics: Record<string, number> };
};

test("search metrics match InformationRetrievalEvaluator", () => {
  expect(Object.keys(retrieval.metrics)).toHaveLength(11);
  for (const [name, value] of Object.entries(retrieval.metrics)) {
    expect(searchMetric(name, retrieval.outcomes), name).toBeCloseTo(value, 6);
  }
});

test("the average precision of k results is 1 if all are relevant, however many others are", () => {
  const outcome = { hits: [true, true, false], relevant: 5 };
  expect(SEARCH_METRICS.map(outcome, 2)).toBe(1);
  expect(SEARCH_METRICS.map(outcome, 3)).toBeCloseTo(2 / 3);
  expect(SEARCH_METRICS.map({ hits: [false, true], relevant: 1 }, 2)).toBe(0.5);
  expect(SEARCH_METRICS.ndcg(outcome, 2)).toBe(1);
});

test("of labelled pairs the upper half counts as related, and each says how close its two ranks are", () => {
  const scores = scoresOfPairs([0.9, 0.1, 0.5, 0.4], [5, 0, 2.5, 3], ["a", "b", "c", "d"]);
  expect(scores).toEqual({
    relevant: [0.9, 0.4],
    others: [0.1, 0.5],
    measure: "rank_agreement",
    values: [1, 1, 1 - 1 / 3, 1 - 1 / 3],
    texts: ["a", "b", "c", "d"],
  });
  expect(scoresOfPairs([0.3], [1], ["a"]).values).toEqual([1]);
  const many = Array.from({ length: 5000 }, (_, i) => i + 0.12345);
  const texts = [200, 201].map((length) => "x".repeat(length));
  const short = shortScores({ ...scores, relevant: many, values: many, texts });
  expect(short.relevant).toHaveLength(2000);
  expect(short.relevant.slice(0, 3)).toEqual([0.1235, 2.123, 5.123]);
  expect(short.values).toHaveLength(5000);
  expect(short.texts).toEqual([texts[0], `${"x".repeat(199)}…`]);
});

test("metrics of scored pairs match EmbeddingSimilarityEvaluator", () => {
  const examples = similarity.pairs.map(({ score }, index) => ({ index, text: "", texts: [""], label: score }));
  const predictions = similarity.pairs.map(({ vectors }, i) =>
    embedding.predict([], examples[i]!, { index: i, encoding: NOTHING }, Float32Array.from(vectors.flat())),
  );
  for (const name of ["pearson", "spearmanr"] as const) {
    expect(embedding.metrics[name]!.compute(predictions, examples, [])).toBeCloseTo(similarity[name], 5);
  }
});

const NOTHING = { inputIds: new Int32Array(), tokenTypeIds: new Int32Array() };

test("reranking metrics match CrossEncoderRerankingEvaluator", () => {
  const examples = reranking.queries.flatMap(({ scores, relevant }, query) =>
    scores.map((_, i) => ({ text: `q${query}`, textPair: `p${i}`, label: i < relevant ? 1 : 0 })),
  );
  const scores = reranking.queries.flatMap((query) => query.scores);
  const numbered = examples.map((example, index) => ({ index, ...example }));
  const predictions = numbered.map((example, i) =>
    reranker.predict([], example, { index: i, encoding: NOTHING }, Float32Array.of(scores[i]!)),
  );
  for (const [name, value] of Object.entries(reranking.metrics)) {
    expect(reranker.metrics[name]!.compute(predictions, numbered, []), name).toBeCloseTo(value, 5);
  }
});

test("the nearest vectors match a full sort", () => {
  const vectors = Array.from({ length: 60 }, (_, i) =>
    unitVector(Float32Array.from({ length: 6 }, (_, j) => Math.sin(i * 7 + j * j))),
  );
  const query = unitVector(Float32Array.from({ length: 6 }, (_, j) => Math.cos(j)));
  const all = nearest(query, vectors, 60);
  expect(all.map(({ score }) => score)).toEqual(all.map(({ score }) => score).sort((a, b) => b - a));
  expect(new Set(all.map(({ index }) => index)).size).toBe(60);
  expect(nearest(query, vectors, 5)).toEqual(all.slice(0, 5));
  expect(nearest(query, vectors, 5, (index) => index === all[0]!.index)).toEqual(all.slice(1, 6));
});

test("held-out anchors search all texts that anchors are compared with", () => {
  const examples = [
    { index: 0, text: "q0", texts: ["a", "b"] },
    { index: 1, text: "q1", texts: ["c"] },
    { index: 2, text: "q0", texts: ["d"] },
  ];
  const at = (angle: number): Float32Array => Float32Array.of(Math.cos(angle), Math.sin(angle));
  // q0 is nearest to b, then a, d, c; q1 is nearest to c.
  const predictions = [
    { vectors: [at(0), at(0.2), at(0.1)] },
    { vectors: [at(3), at(3)] },
    { vectors: [at(0), at(0.3)] },
  ];
  const compute = (name: string): number => embedding.metrics[name]!.compute(predictions, examples, []);
  expect(compute("recall_at_1")).toBeCloseTo(0.5);
  expect(compute("recall_at_3")).toBeCloseTo(1);
  expect(compute("mrr_at_10")).toBeCloseTo(0.75);
});
