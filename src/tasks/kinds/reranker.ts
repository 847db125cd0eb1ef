import { opt, UserError } from "../../errors.ts";
import { add, logSoftmax, mul, neg, slice, sumAll } from "../../graph/ops.ts";
import { float32 } from "../../graph/tensor.ts";
import { asRow, equal, hide } from "../batch-masks.ts";
import type { Example, Prediction } from "../example.ts";
import { predictedBesideTrue, wrongPairs } from "../findings.ts";
import type { HeldOutSearch } from "../held-out-search.ts";
import { binaryCrossEntropy, type Objective } from "../losses/objective.ts";
import { labelsOf, ofLabels } from "../metrics/label-metric.ts";
import { spearman } from "../metrics/metrics.ts";
import { scoresOfPairs } from "../metrics/pair-scores.ts";
import { averagePrecision, type SearchOutcome, searchMetric } from "../metrics/retrieval-metrics.ts";
import { sigmoid } from "../probabilities.ts";
import { type Cell, type Columns, cellError, columnOf, list, numberOf, type Table, textOf } from "../rows.ts";
import { listTargets, type RerankedText, scoredPairs } from "../scored-pairs.ts";
import type { Metric, TableReading, TaskKind } from "../task-kind.ts";
import { sequenceClassification, textsOf } from "../whole-text.ts";

/** No linear head is fitted to frozen features first: a cross-encoder has the head of its own class, so that other tools can load it. */
const { linearLoss: _linear, ...gradedLoss }: Objective = binaryCrossEntropy;

/**
 * Cross-entropy of the softmax over a list of passages, whose target is the relevant one (ListNet's top-one probability, Cao et al.
 * 2007). A target is the number of its example and the passage's position in the list, 0 for the relevant one.
 */
export const listNet: Objective = {
  couples: "batch",
  target: () => ({ dtype: "float32", shape: [2] }),
  loss(logits, targets, weights) {
    const example = slice(targets, 1, 0, 1);
    const relevant = equal(slice(targets, 1, 1, 2), 0);
    const together = equal(example, asRow(example));
    const found = logSoftmax(add(asRow(logits), hide(together)));
    return neg(sumAll(mul(found, mul(mul(together, asRow(relevant)), weights))));
  },
};

const LOSSES: Record<string, { rows: string; objective: Objective }> = {
  "binary-cross-entropy": { rows: "labelled", objective: gradedLoss },
  "list-net": { rows: "lists", objective: listNet },
};

/** Reads rows of a query and a passage with a label from 0 to 1 (`label` or `score`), or with irrelevant passages (`negative`, `negative_2`, …). */
const rerankerRows: TableReading = {
  holds: { labelled: "passages with a label", lists: "passages with negatives" },
  read(table, columns) {
    const { query, passage, negatives, label } = findColumns(table, columns);
    const [queries, passages] = [columnOf(table, query), columnOf(table, passage)];
    const others = negatives.map((column) => columnOf(table, column));
    const labels = label === undefined ? undefined : columnOf(table, label);
    const examples = queries.map((cell, row) => {
      const texts = others.map((column) => textOf(column.at(row)!)).filter((each) => each.trim() !== "");
      for (const each of [cell, passages.at(row)!]) if (textOf(each).trim() === "") throw cellError(each, "no text");
      if (!labels && texts.length === 0) throw cellError(others[0]!.at(row)!, "no passage that does not answer");
      return {
        ...textsOf({ text: cell, textPair: passages.at(row)! }),
        ...(labels ? { label: gradeOf(labels.at(row)!) } : { texts }),
      };
    });
    const rows = labels ? "labelled" : "lists";
    return { examples, labels: [], metrics: metricsFor(examples), options: { rows } };
  },
};

function findColumns(table: Table, named: Partial<Columns>) {
  const has = (name: string): boolean => table.columns.includes(name);
  const query = named.text ?? ["query", "anchor"].find(has);
  const passage = named.textPair ?? ["passage", "positive"].find(has);
  const negatives = table.columns.filter((name) => /^negative(_\d+)?$/.test(name));
  const label = named.label ?? ["label", "score"].find(has);
  if (query !== undefined && passage !== undefined && (label !== undefined || negatives.length > 0)) {
    return { query, passage, negatives, label: negatives.length > 0 ? undefined : label };
  }
  throw new UserError(
    `${table.source} has the columns ${list(table.columns)}; a reranker learns from query and passage with a label from 0 to 1, or with negative, negative_2 and so on; name yours with ${opt("text")}, ${opt("textPair")} and ${opt("label")}`,
  );
}

function gradeOf(cell: Cell): number {
  const grade = numberOf(cell);
  if (grade >= 0 && grade <= 1) return grade;
  throw cellError(cell, `"${cell.value ?? ""}" is not a grade from 0 to 1`, "; divide grades by the highest");
}

function metricsFor(examples: readonly Omit<Example, "index">[]): string[] {
  const ofLists = ["ndcg_at_10", "mrr_at_10", "map"];
  if (examples.some(({ texts }) => texts)) return ofLists;
  const kinds = new Map<string, Set<boolean>>();
  for (const { text, label } of examples) kinds.set(text, (kinds.get(text) ?? new Set()).add(isRelevant(label!)));
  const comparable = [...kinds.values()].some((both) => both.size === 2);
  const hasGrades = examples.some(({ label }) => label! > 0 && label! < 1);
  return [...(comparable ? ofLists : []), "average_precision", ...(hasGrades ? ["spearmanr"] : [])];
}

const isRelevant = (label: number): boolean => label > 0.5;

/** Whether a passage is relevant for its query: by its label or, in a list, by its position, 0 for the relevant one. */
const isAnswer = (label: number | undefined, place: number): boolean =>
  label === undefined ? place === 0 : isRelevant(label);

interface Ranking {
  query: string;
  passages: string[];
  scores: number[];
  relevant: boolean[];
}

/** Groups passages by query. Queries without a relevant passage are left out. */
function rankingsOf(predictions: readonly Prediction[], examples: readonly Example[]): Ranking[] {
  const queries = new Map<string, Ranking>();
  examples.forEach(({ text, textPair, texts = [], label }, i) => {
    const ranking = queries.get(text) ?? { query: text, passages: [], scores: [], relevant: [] };
    queries.set(text, ranking);
    ranking.passages.push(textPair!, ...texts);
    predictions[i]!.vectors!.forEach(([score], place) => {
      ranking.scores.push(score!);
      ranking.relevant.push(isAnswer(label, place));
    });
  });
  return [...queries.values()].filter(({ relevant }) => relevant.includes(true));
}

/** Converts each query's passages to a search among them; undefined if no query has both relevant and other passages. */
function passagesAsSearch(examples: readonly Example[]): HeldOutSearch | undefined {
  const places = new Map<string, number>();
  const queries = new Map<string, { among: Set<number>; relevant: Set<number> }>();
  for (const { text, textPair, texts = [], label } of examples) {
    const query = queries.get(text) ?? { among: new Set(), relevant: new Set() };
    queries.set(text, query);
    [textPair!, ...texts].forEach((passage, place) => {
      if (!places.has(passage)) places.set(passage, places.size);
      query.among.add(places.get(passage)!);
      if (isAnswer(label, place)) query.relevant.add(places.get(passage)!);
    });
  }
  const asked = [...queries].flatMap(([text, query]) => (query.relevant.size > 0 ? [{ text, ...query }] : []));
  const comparable = asked.some(({ among, relevant }) => among.size > relevant.size);
  return comparable ? { texts: [...places.keys()], queries: asked } : undefined;
}

const isComparable = ({ relevant }: Ranking): boolean => relevant.includes(false);

function bestOfBoth({ query, passages, scores, relevant }: Ranking) {
  const [own, other] = [true, false].map((wanted) =>
    [...scores.keys()].filter((i) => relevant[i] === wanted).reduce((a, b) => (scores[b]! > scores[a]! ? b : a)),
  ) as [number, number];
  return { text: query, better: passages[own]!, worse: passages[other]!, margin: scores[other]! - scores[own]! };
}

function outcomeOf({ scores, relevant }: Pick<Ranking, "scores" | "relevant">): SearchOutcome {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  return { hits: order.map((i) => relevant[i]!), relevant: relevant.filter(Boolean).length };
}

const sigmoids = (logits: readonly number[]): number[] => [...sigmoid(Float32Array.from(logits))];

const ofRankings = (compute: (rankings: Ranking[]) => number): Metric => ({
  higherIsBetter: true,
  compute: (predictions, examples) => compute(rankingsOf(predictions, examples)),
});
export const reranker: TaskKind<RerankedText> = {
  ...scoredPairs,
  name: "reranker",
  summary: "how well a passage answers a query",
  objective: gradedLoss,
  metrics: {
    ndcg_at_10: ofRankings((rankings) => searchMetric("ndcg_at_10", rankings.map(outcomeOf))),
    mrr_at_10: ofRankings((rankings) => searchMetric("mrr_at_10", rankings.map(outcomeOf))),
    map: ofRankings((rankings) => {
      const sum = rankings.reduce((total, { scores, relevant }) => total + averagePrecision(scores, relevant), 0);
      return rankings.length === 0 ? 0 : sum / rankings.length;
    }),
    average_precision: ofLabels((logits, labels) => averagePrecision(logits, labels.map(isRelevant))),
    spearmanr: ofLabels(spearman),
  },
  defaultMetrics: ["average_precision"],
  retrieval: {
    by: "scores",
    searchIn: passagesAsSearch,
    outcomesOf: (predictions, examples) => rankingsOf(predictions, examples).map(outcomeOf),
    pairScoresOf(predictions, examples) {
      const rankings = rankingsOf(predictions, examples);
      // Without a query that has both relevant and other passages, nothing can be ranked.
      if (!rankings.some(isComparable)) {
        return scoresOfPairs(
          sigmoids(labelsOf(predictions)),
          labelsOf(examples),
          examples.map(({ text, textPair }) => `${text} | ${textPair}`),
        );
      }
      const scores = (wanted: boolean): number[] =>
        rankings.flatMap((ranking) => sigmoids(ranking.scores.filter((_, i) => ranking.relevant[i] === wanted)));
      return {
        relevant: scores(true),
        others: scores(false),
        measure: "ndcg_at_10",
        values: rankings.map((ranking) => searchMetric("ndcg_at_10", [outcomeOf(ranking)])),
        texts: rankings.map(({ query }) => query),
      };
    },
  },
  review: {
    findings(predictions, examples) {
      const comparable = rankingsOf(predictions, examples).filter(isComparable);
      if (comparable.length > 0) {
        return wrongPairs(
          "Queries for which a passage that does not answer comes first, the largest margin of logits first",
          ["query", "passage that answers", "first passage"],
          comparable.map(bestOfBoth),
        );
      }
      return [predictedBesideTrue(examples, sigmoids(labelsOf(predictions)))];
    },
  },
  huggingFace: {
    ...sequenceClassification,
    problemType: null,
    readme: {
      outputs: () =>
        "The output is a logit, higher for passages that answer the query better; its sigmoid is between 0 and 1.",
      showLogits: () => "console.log(logits.data[0], logits.sigmoid().data[0]); // logit and sigmoid",
    },
  },
  table: rerankerRows,
  recognition: {
    order: 41,
    fitsColumns: ({ columns }) => columns.includes("query") && columns.includes("passage"),
    fitsRows: () => false,
    // A checkpoint's head with one output counts as regression.
    labelsOfHead: () => undefined,
  },

  optionsFor: (_given, { options = {} }) => ({
    ...options,
    loss: Object.keys(LOSSES).find((name) => LOSSES[name]!.rows === options.rows)!,
  }),
  objectiveFor: ({ loss }) => LOSSES[String(loss)]!.objective,

  exampleOfInput({ text, textPair }) {
    if (textPair === undefined)
      throw new UserError("a reranker scores a query with a passage; give both texts of the pair");
    return { text, textPair };
  },
  encode: ({ index, text, textPair, texts = [] }, tokenizer, maxLength) => ({
    index,
    encoding: tokenizer.encode(text, textPair, maxLength),
    ...(texts.length > 0 && {
      texts: texts.map((passage) => ({ encoding: tokenizer.encode(text, passage, maxLength) })),
    }),
  }),
  targets({ index, texts, label }) {
    if (!texts) return { targets: float32([1, 1], Float32Array.of(label!)), weights: Float32Array.of(1) };
    return listTargets(index, 1 + texts.length);
  },
  describe: (_labels, _example, _encoded, logits) => ({ logit: logits[0]!, sigmoid: sigmoid(logits)[0]! }),
  lineOf: (output) => `${output.sigmoid.toFixed(4)}\tlogit ${output.logit.toFixed(4)}`,
};
