import * as Plot from "@observablehq/plot";
import type { QueryOutcome, SearchEvaluation } from "../inference/retrieval/evaluate-search-node.ts";
import { draw, labelRoom } from "./drawing.ts";
import { figure, html, type Picture, page, table } from "./page.ts";
import { counted, number } from "./quantities.ts";
import { type Change, changeTables, scoreDistributions, shortened } from "./score-pictures.ts";

/** Renders an evaluation on a corpus as one HTML page without external resources or scripts. */
export function renderSearch(evaluation: SearchEvaluation): string {
  const { corpus, queries, systems, scores, changes } = evaluation;
  const title = `Search of ${counted(corpus, "text")} for ${counted(queries, "query", "queries")}`;
  const at = (system: string): string => `${system} ${number(systems[system]!.ndcg_at_10)}`;
  const columns = {
    what: "Queries",
    measure: "NDCG@10",
    names: ["query", "before training", "fine-tuned", "BM25", "text"],
  };
  const pictures = [compared(systems), ...scoreDistributions(scores)];
  return page(
    title,
    html`<h1>${title}</h1>
<p>NDCG@10: ${Object.keys(systems).map(at).join(", ")}.</p>
<div class="pictures">
${pictures.map((picture, i) => figure(picture, `picture-${i + 1}`))}</div>
<section class="facts">${changeTables(changes.map(rowOf), columns).map(table)}</section>
`,
  );
}

/** Change of a query's score, with its row of a table. */
const rowOf = ({ id, text, ndcg }: QueryOutcome): Change => ({
  gain: ndcg["fine-tuned"]! - ndcg["before training"]!,
  row: [id, number(ndcg["before training"]), number(ndcg["fine-tuned"]), number(ndcg.BM25), shortened(text)],
});

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
    title: "Scores of each search",
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
