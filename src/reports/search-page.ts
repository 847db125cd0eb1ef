import * as Plot from "@observablehq/plot";
import { mean, median } from "../experiments/statistics.ts";
import type { QueryOutcome, SearchEvaluation } from "../retrieval/evaluate-search.ts";
import { draw, labelRoom } from "./drawing.ts";
import { figure, html, type Picture, page, type Table, table } from "./page.ts";
import { counted, number } from "./quantities.ts";

/** Queries that are named of those that gained and of those that lost most. */
const NAMED = 10;

/** Parts of the range of scores that are counted apart. */
const BINS = 30;

/** What an evaluation on a corpus found, as one HTML page that needs nothing from outside and runs no script. */
export function renderSearch(evaluation: SearchEvaluation): string {
  const { corpus, queries, systems, scores, changes } = evaluation;
  const title = `Search of ${counted(corpus, "text")} for ${counted(queries, "query", "queries")}`;
  const at = (system: string): string => `${system} ${number(systems[system]!.ndcg_at_10)}`;
  const pictures = [
    compared(systems),
    ...Object.entries(scores).map(([system, of]) => distribution(system, of, scores)),
  ];
  const gained = changes.slice(0, NAMED).filter((each) => gain(each) > 0);
  const lost = changes
    .slice(-NAMED)
    .reverse()
    .filter((each) => gain(each) < 0);
  return page(
    title,
    html`<h1>${title}</h1>
<p>NDCG@10: ${Object.keys(systems).map(at).join(", ")}.</p>
<div class="pictures">
${pictures.map((picture, i) => figure(picture, `picture-${i + 1}`))}</div>
<section class="facts">${[changesTable("Queries that gained most by training", gained), changesTable("Queries that lost most", lost)].map(table)}</section>
`,
  );
}

const gain = ({ ndcg }: QueryOutcome): number => ndcg["fine-tuned"]! - ndcg["before training"]!;

function changesTable(caption: string, changes: readonly QueryOutcome[]): Table {
  return {
    caption: changes.length > 0 ? `${caption}, in NDCG@10` : `${caption}: none`,
    columns: ["query", "before training", "fine-tuned", "BM25", "text"],
    rows: changes.map(({ id, text, ndcg }) => [
      id,
      number(ndcg["before training"]),
      number(ndcg["fine-tuned"]),
      number(ndcg.BM25),
      text.length > 200 ? `${text.slice(0, 199)}…` : text,
    ]),
  };
}

function compared(systems: SearchEvaluation["systems"]): Picture {
  const names = Object.keys(systems);
  const metrics = Object.keys(systems[names[0]!]!);
  const shown = ["ndcg_at_10", "mrr_at_10", "map_at_100", "recall_at_1", "recall_at_10"];
  const points = names.flatMap((system) =>
    shown.map((metric) => ({ system, metric, value: systems[system]![metric]! })),
  );
  const color = (system: string): string => `var(--series-${names.indexOf(system)})`;
  const best = names.toSorted((a, b) => systems[b]!.ndcg_at_10! - systems[a]!.ndcg_at_10!)[0]!;
  return {
    title: "What each finds",
    summary: `By NDCG@10 ${best} is best, ${number(systems[best]!.ndcg_at_10)}.`,
    legend: names.map((label) => ({ color: color(label), label })),
    svg: draw({
      height: 240,
      marginLeft: labelRoom(shown),
      x: { label: "metric's value", domain: [0, 1], grid: true },
      y: { label: null, domain: shown },
      marks: [
        Plot.dot(points, { x: "value", y: "metric", fill: ({ system }: { system: string }) => color(system), r: 5 }),
      ],
      color: { type: "identity" },
    }),
    numbers: {
      caption: "Means over queries",
      columns: ["metric", ...names],
      rows: metrics.map((metric) => [metric, ...names.map((system) => number(systems[system]![metric]))]),
    },
  };
}

function distribution(
  system: string,
  { relevant, others }: { relevant: number[]; others: number[] },
  all: SearchEvaluation["scores"],
): Picture {
  // All systems' on one axis, so that they compare.
  const values = Object.values(all).flatMap((scores) => [...scores.relevant, ...scores.others]);
  const [from, to] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [1, 0]);
  const size = (to - from || 1) / BINS;
  const shares = (scores: readonly number[]): number[] => {
    const counts = new Array<number>(BINS).fill(0);
    for (const score of scores) counts[Math.min(BINS - 1, Math.floor((score - from) / size))]! += 1 / scores.length;
    return counts;
  };
  const [ofRelevant, ofOthers] = [shares(relevant), shares(others)];
  const points = (found: readonly number[]) => found.map((share, i) => ({ score: from + (i + 0.5) * size, share }));
  const area = (found: readonly number[], color: string) => [
    Plot.areaY(points(found), { x: "score", y: "share", fill: color, fillOpacity: 0.25 }),
    Plot.lineY(points(found), { x: "score", y: "share", stroke: color }),
  ];
  const middle = (scores: number[]): string => (scores.length > 0 ? number(median(scores)) : "–");
  return {
    title: `Scores, ${system}`,
    summary: `Relevant texts have a median score of ${middle(relevant)}, others of ${middle(others)}${
      relevant.length > 0 && others.length > 0 ? `; their means lie ${number(mean(relevant) - mean(others))} apart` : ""
    }.`,
    legend: [
      { color: "var(--series-0)", label: "relevant" },
      { color: "var(--series-1)", label: "others" },
    ],
    svg: draw({
      height: 220,
      x: { label: "score of a query and a text" },
      y: { label: "share", grid: true, tickFormat: (share: number) => `${Math.round(100 * share)} %` },
      marks: [...area(ofOthers, "var(--series-1)"), ...area(ofRelevant, "var(--series-0)")],
    }),
    numbers: {
      caption: "Share of scores in each part of the range",
      columns: ["from", "relevant", "others"],
      rows: ofRelevant.map((share, i) => [number(from + i * size), number(share), number(ofOthers[i])]),
    },
  };
}
