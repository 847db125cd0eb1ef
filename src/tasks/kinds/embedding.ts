import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { embeddingRows, identicalPairs, NAMES_OF_ROWS } from "../embedding-rows.ts";
import { lineOfExample, MOST_SHOWN, predictedBesideTrue } from "../findings.ts";
import { isPairs, outcomesOf, pairsAsSearch, searched } from "../held-out-search.ts";
import {
  EMBEDDING_LOSSES,
  type EmbeddingLoss,
  type EmbeddingRows,
  embeddingObjective,
  type LossSettings,
} from "../losses/embedding-losses.ts";
import { labelsOf, ofLabels } from "../metrics/label-metric.ts";
import { pearson, spearman } from "../metrics/metrics.ts";
import { scoresOfPairs } from "../metrics/pair-scores.ts";
import {
  averagePrecision,
  MAX_RESULTS,
  SEARCH_METRIC_NAMES,
  searchMetric,
  searchMetrics,
} from "../metrics/retrieval-metrics.ts";
import { listTargets } from "../scored-pairs.ts";
import type { Metric, ModelSize, TaskKind } from "../task-kind.ts";
import { dot, unitVector } from "../vectors.ts";
import { textsOf } from "../whole-text.ts";

/** A text's embedding. */
export interface EmbeddedText {
  /** `[hidden]`, with norm 1 if the model's folder requires it. */
  embedding: number[];
}

const cosineOf = ([first, second]: readonly Float32Array[]): number => dot(unitVector(first!), unitVector(second!));

const PRECISIONS = SEARCH_METRIC_NAMES.filter((name) => name.startsWith("precision"));

function dimensionsOf(text: string, { hiddenSize }: ModelSize): number[] {
  const sizes = text.split(",").map((each) => Number(each.trim()));
  const wrong = sizes.find((size) => !Number.isInteger(size) || size < 1);
  if (wrong !== undefined)
    throw new UserError(`${opt("dimensions")} takes whole numbers separated by commas, not "${text}"`);
  const large = sizes.find((size) => size > hiddenSize);
  if (large === undefined) return [...new Set(sizes)].sort((a, b) => b - a);
  throw new UserError(`${opt("dimensions")} ${large} is more than the ${hiddenSize} that the model's embeddings have`);
}

const LOSSES = Object.keys(EMBEDDING_LOSSES) as EmbeddingLoss[];

const options = z.object({
  loss: z.enum(LOSSES).optional().describe("loss (default: by the columns of the examples)"),
  dimensions: z
    .string()
    .optional()
    .describe("sizes to which embeddings can be truncated, such as 384,128,64; trains each (Matryoshka)"),
  bothDirections: z
    .boolean()
    .optional()
    .describe("apply multiple-negatives-ranking in both directions, also from positives to anchors"),
  margin: z.number().positive().optional().describe("margin of the losses triplet and contrastive (default: 0.5)"),
});

export const embedding: TaskKind<EmbeddedText, typeof options> = {
  name: "embedding",
  summary: "a vector for each text, for search and similarity",
  refines: true,
  head: "pooled",
  objective: embeddingObjective("multiple-negatives-ranking", {}),
  metrics: {
    ...Object.fromEntries(
      SEARCH_METRIC_NAMES.map((name): [string, Metric] => [
        name,
        { higherIsBetter: true, compute: (...given) => searchMetric(name, outcomesOf(given[0], given[1])) },
      ]),
    ),
    spearmanr: ofLabels(spearman),
    pearson: ofLabels(pearson),
    average_precision: ofLabels((found, labels) =>
      averagePrecision(
        found,
        labels.map((label) => label === 1),
      ),
    ),
  },
  defaultMetrics: ["ndcg_at_10"],
  review: {
    *prepare(predictions, examples) {
      // Scored pairs are not queries.
      if (isPairs(examples) || !examples[0]?.texts?.length) yield* searched(predictions, examples);
    },
    details: (predictions, examples) => ({
      metrics: isPairs(examples) ? searchMetrics(PRECISIONS, outcomesOf(predictions, examples)) : {},
    }),
    findings(predictions, examples) {
      if (!isPairs(examples) && examples[0]?.texts?.length) {
        const pairs = examples.map((example) => ({ ...example, textPair: example.texts![0]! }));
        return [predictedBesideTrue(pairs, labelsOf(predictions))];
      }
      const failed = outcomesOf(predictions, examples)
        .filter(({ hits, relevant }) => relevant > 0 && !hits[0])
        .map(({ text, wanted, nearest, hits }) => ({
          text,
          wanted,
          nearest,
          rank: hits.indexOf(true) + 1 || Number.POSITIVE_INFINITY,
        }))
        .sort((a, b) => b.rank - a.rank);
      if (failed.length === 0) return [];
      return [
        {
          title: "Queries for which another text comes first",
          columns: ["query", "its text", "rank", "first"],
          rows: failed.map(({ text, wanted = "", nearest = "", rank }) => {
            const [query, own, first] = [text, wanted, nearest].map((each) => lineOfExample({ text: each }));
            return [query!, own!, Number.isFinite(rank) ? rank : `beyond ${MAX_RESULTS}`, first!];
          }),
          most: MOST_SHOWN,
        },
      ];
    },
  },
  retrieval: {
    by: "vectors",
    searchIn: (examples) => (isPairs(examples) ? pairsAsSearch(examples) : undefined),
    outcomesOf,
    pairScoresOf(predictions, examples) {
      // Scored pairs are not queries; a text with a class has a label, but no second text.
      if (!isPairs(examples) && examples[0]?.texts?.length) {
        return scoresOfPairs(
          labelsOf(predictions),
          labelsOf(examples),
          examples.map(({ text, texts }) => `${text} | ${texts![0]}`),
        );
      }
      const found = outcomesOf(predictions, examples);
      return {
        relevant: found.flatMap(({ relevantScore }) => relevantScore ?? []),
        others: found.flatMap(({ otherScore }) => otherScore ?? []),
        measure: "ndcg_at_10",
        values: found.map((outcome) => searchMetric("ndcg_at_10", [outcome])),
        texts: found.map(({ text }) => text),
      };
    },
  },
  huggingFace: {
    autoClass: "AutoModel",
    problemType: null,
    peftTaskType: "FEATURE_EXTRACTION",
    pipeline: "feature-extraction",
    readme: { outputs: () => "A text's embedding is the model's output, pooled as this folder defines." },
  },
  table: embeddingRows,
  options,
  recognition: {
    order: 40,
    fitsColumns: ({ columns }) => columns.includes("anchor") && columns.includes("positive"),
    fitsRows: () => false,
    labelsOfHead: () => [],
  },

  optionsFor(given, { options = {}, train }, model) {
    const rows = options.rows as EmbeddingRows;
    const fitting = LOSSES.filter((name) => rowsOf(name).includes(rows));
    const loss = given.loss ?? (rows === "labelled" ? "contrastive" : fitting[0]!);
    if (!fitting.includes(loss)) {
      throw new UserError(
        `${opt("loss")} ${loss} is not for these examples, which are ${NAMES_OF_ROWS[rows]}; use ${fitting.join(" or ")}`,
      );
    }
    if (loss === "triplet" && !train.some(({ texts = [] }) => texts.length > 1)) {
      throw new UserError(`${opt("loss")} triplet needs a column negative in addition to anchor and positive`);
    }
    if (given.margin !== undefined && !["triplet", "contrastive"].includes(loss)) {
      throw new UserError(`${opt("margin")} is for the losses triplet and contrastive, not for ${loss}`);
    }
    if (given.bothDirections && loss !== "multiple-negatives-ranking") {
      throw new UserError(`${opt("bothDirections")} is for multiple-negatives-ranking, not for ${loss}`);
    }
    return {
      ...options,
      loss,
      ...(given.bothDirections && { bothDirections: true }),
      ...(given.margin !== undefined && { margin: given.margin }),
      ...(given.dimensions !== undefined && { dimensions: dimensionsOf(given.dimensions, model) }),
    };
  },
  objectiveFor: ({ loss, ...settings }) =>
    embeddingObjective(loss as EmbeddingLoss, settings as LossSettings & { dimensions?: number[] }),
  notesOf(examples) {
    const same = identicalPairs(examples);
    if (same === 0) return [];
    return [
      `${same} of ${examples.length} examples have a second text that equals the first; they are kept, but teach nothing`,
    ];
  },

  outputs: (_labels, config) => config!.hiddenSize,
  labelsIn: () => [],
  exampleOfRow: ({ text }) => textsOf({ text }),
  exampleOfInput({ text, textPair }) {
    if (textPair !== undefined)
      throw new UserError("an embedding belongs to one text; pass the texts of a pair one by one");
    return { text };
  },
  encode: ({ index, text, texts = [] }, tokenizer, maxLength) => ({
    index,
    encoding: tokenizer.encode(text, undefined, maxLength),
    texts: texts.map((each) => ({ encoding: tokenizer.encode(each, undefined, maxLength) })),
  }),
  targets({ index, text, texts = [], label }) {
    // In pairs, an equal text of another example in the batch would count as a negative.
    const oncePerBatch = label === undefined && { oncePerBatch: [...new Set([text, ...texts])] };
    return { ...listTargets(index, 1 + texts.length, label ?? 0), ...oncePerBatch };
  },
  predict(_labels, { texts = [] }, _encoded, logits) {
    const size = logits.length / (1 + texts.length);
    const vectors = Array.from({ length: 1 + texts.length }, (_, i) => logits.subarray(i * size, (i + 1) * size));
    return { vectors, ...(vectors.length === 2 && { label: cosineOf(vectors) }) };
  },
  describe: (_labels, _example, _encoded, logits) => ({ embedding: Array.from(logits) }),
  lineOf: ({ embedding }) => embedding.map((value) => value.toPrecision(6)).join(" "),
  stratumOf: ({ texts = [], label }) => (texts.length === 0 ? label! : 0),
};

const rowsOf = (name: EmbeddingLoss): readonly EmbeddingRows[] => EMBEDDING_LOSSES[name].rows;
