import type { BaseOptions } from "../../base-models/open-adapter-node.ts";
import { type RetrievalSet, readRetrievalSet } from "../../datasets/retrieval-set-node.ts";
import { opt, UserError } from "../../errors.ts";
import type { DeviceName } from "../../runtime/device.ts";
import { runtimeFor } from "../../runtime/runtime-for-node.ts";
import {
  MAX_RESULTS,
  SEARCH_METRIC_NAMES,
  type SearchOutcome,
  searchMetric,
  searchMetrics,
} from "../../tasks/metrics/retrieval-metrics.ts";
import { type Hit, nearest } from "../../tasks/vectors.ts";
import type { FineTunedModel } from "../fine-tuned-model.ts";
import { loadFineTunedModel } from "../load-fine-tuned-model-node.ts";
import { beforeTraining } from "./base-alone.ts";
import { WordSearch } from "./bm25.ts";
import { unitVectors } from "./embed-texts.ts";

export interface SearchEvaluationOptions extends Omit<BaseOptions, "model"> {
  corpus: string;
  queries: string;
  qrels: string;
  dimensions?: number | undefined;
  device?: DeviceName | undefined;
  threads?: number | undefined;
  onStage?(what: string, done: number, of: number): void;
}

export interface QueryOutcome {
  id: string;
  text: string;
  ndcg: Record<string, number>;
}

export interface SearchEvaluation {
  corpus: number;
  queries: number;
  /** Metric → value, by system (`fine-tuned`, `before training`, `BM25`). */
  systems: Record<string, Record<string, number>>;
  /** Queries sorted by their gain from training, largest first. */
  changes: QueryOutcome[];
  /** Scores of relevant texts and of as many evenly drawn others, by system: cosines of embeddings, sigmoids of rerankers. */
  scores: Record<string, { relevant: number[]; others: number[] }>;
}

/** Number of BM25 results that a reranker gets. */
const FIRST_STAGE = 100;

const SHOWN_SCORES = 2000;

interface System {
  hits: Hit[][];
  scores?: { relevant: number[]; others: number[] };
}

/**
 * Searches a corpus exactly with a run's embeddings, or reranks BM25 results with a run's reranker, and compares this
 * with the model before training and BM25 alone.
 * @throws UserError if the run or a file cannot be read, or the run's model neither embeds nor reranks.
 */
export async function evaluateSearch(run: string, options: SearchEvaluationOptions): Promise<SearchEvaluation> {
  const { corpus, queries, qrels, device, threads, onStage, ...rest } = options;
  const { dimensions, ...hub } = rest;
  const set = await readRetrievalSet({ corpus, queries, qrels });
  const runtime = runtimeFor({ device, threads });
  const tuned = await loadFineTunedModel(run, runtime, hub);
  try {
    const search = searchWith(tuned, dimensions);
    onStage?.("BM25", 0, set.queries.length);
    const words = new WordSearch(set.corpus.map(({ text }) => text));
    const found = set.queries.map(({ text }) => words.search(text, FIRST_STAGE));
    const systems: Record<string, System> = {};
    systems["fine-tuned"] = await search(tuned, set, found, (...at) => onStage?.("fine-tuned", ...at));
    const before = await beforeTraining(tuned, runtime);
    try {
      systems["before training"] = await search(before, set, found, (...at) => onStage?.("before training", ...at));
    } finally {
      await before.release();
    }
    systems.BM25 = { hits: found };
    return measured(set, systems);
  } finally {
    await tuned.release();
  }
}

type Search = (
  model: FineTunedModel,
  set: RetrievalSet,
  firstStage: Hit[][],
  at: (done: number, of: number) => void,
) => Promise<System>;

function searchWith({ kind, embeds, reranks }: FineTunedModel, dimensions: number | undefined): Search {
  if (embeds) return (model, set, _first, at) => embedAndSearch(model, set, dimensions, at);
  if (reranks) {
    if (dimensions === undefined) return rerankFirstStage;
    throw new UserError(`${opt("dimensions")} is for embeddings, and the run's model is a reranker; leave it out`);
  }
  throw new UserError(`the run's model is for ${kind.name}; a corpus is searched with embeddings or a reranker`);
}

async function embedAndSearch(
  model: FineTunedModel,
  { corpus, queries, relevant }: RetrievalSet,
  dimensions: number | undefined,
  at: (done: number, of: number) => void,
): Promise<System> {
  const of = corpus.length + queries.length;
  const textsOf = (all: readonly { text: string }[]): string[] => all.map(({ text }) => text);
  const vectors = await unitVectors(model, textsOf(corpus), { dimensions, onProgress: (done) => at(done, of) });
  const asked = await unitVectors(model, textsOf(queries), {
    dimensions,
    onProgress: (done) => at(corpus.length + done, of),
  });
  const hits = asked.map((query) => nearest(query, vectors, MAX_RESULTS));
  const places = new Map(corpus.map(({ id }, index) => [id, index]));
  const scores = { relevant: [] as number[], others: [] as number[] };
  const step = Math.max(1, Math.ceil(queries.length / SHOWN_SCORES));
  for (let q = 0; q < queries.length; q += step) {
    const own = relevant.get(queries[q]!.id)!;
    for (const id of own) scores.relevant.push(cosine(asked[q]!, vectors[places.get(id)!]!));
    const other = (q * 7919) % corpus.length;
    if (!own.has(corpus[other]!.id)) scores.others.push(cosine(asked[q]!, vectors[other]!));
  }
  return { hits, scores };
}

const cosine = (a: Float32Array, b: Float32Array): number => nearest(a, [b], 1)[0]!.score;

const rerankFirstStage: Search = async (model, { corpus, queries, relevant }, firstStage, at) => {
  const scores = { relevant: [] as number[], others: [] as number[] };
  const hits: Hit[][] = [];
  for (const [q, { id, text }] of queries.entries()) {
    const first = firstStage[q]!;
    const ranked = await model.rerank(
      text,
      first.map(({ index }) => corpus[index]!.text),
    );
    hits.push(ranked.map(({ index, logit }) => ({ index: first[index]!.index, score: logit })));
    for (const { index, sigmoid } of ranked) {
      const isRelevant = relevant.get(id)!.has(corpus[first[index]!.index]!.id);
      if (isRelevant || scores.others.length <= scores.relevant.length) {
        scores[isRelevant ? "relevant" : "others"].push(sigmoid);
      }
    }
    at(q + 1, queries.length);
  }
  return { hits, scores };
};

function measured(set: RetrievalSet, systems: Record<string, System>): SearchEvaluation {
  const outcomes = Object.fromEntries(
    Object.entries(systems).map(([name, { hits }]): [string, SearchOutcome[]] => [
      name,
      hits.map((found, q) => {
        const relevant = set.relevant.get(set.queries[q]!.id)!;
        return { hits: found.map(({ index }) => relevant.has(set.corpus[index]!.id)), relevant: relevant.size };
      }),
    ]),
  );
  const names = Object.keys(systems);
  const changes = set.queries.map(({ id, text }, q) => ({
    id,
    text,
    ndcg: Object.fromEntries(names.map((name) => [name, searchMetric("ndcg_at_10", [outcomes[name]![q]!])])),
  }));
  const gain = ({ ndcg }: QueryOutcome): number => ndcg["fine-tuned"]! - ndcg["before training"]!;
  return {
    corpus: set.corpus.length,
    queries: set.queries.length,
    systems: Object.fromEntries(names.map((name) => [name, searchMetrics(SEARCH_METRIC_NAMES, outcomes[name]!)])),
    changes: changes.sort((a, b) => gain(b) - gain(a)),
    scores: Object.fromEntries(
      Object.entries(systems).flatMap(([name, { scores }]) => (scores ? [[name, scores]] : [])),
    ),
  };
}
