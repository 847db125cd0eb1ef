import * as Plot from "@observablehq/plot";
import type { RunRecords } from "../runs/read-run.ts";
import type { Finding } from "../tasks/findings.ts";
import { draw } from "./drawing.ts";
import type { Picture, Table } from "./page.ts";
import { number, rangeOf, short, tick } from "./quantities.ts";

/** The part of a run that says how well it answers held-out examples. */
type AnsweredRun = Pick<RunRecords, "evaluations" | "findings" | "result">;

/** A finished run's scores beside those of its start and of the answer that is the same for all; empty before it is finished. */
export function comparedScores({ evaluations, findings, result }: AnsweredRun): Table[] {
  if (!result) return [];
  const start = evaluations.find(({ epoch }) => epoch === 0)?.metrics;
  const beside = {
    [findings?.startsFitted ? "the head fitted to the untrained model" : "before training"]: start,
    "the same answer for all": findings?.sameAnswer,
  };
  const others = Object.entries(beside).flatMap(([name, metrics]) => (metrics ? [{ name, metrics }] : []));
  const { metrics, errors = {} } = result;
  const withErrors = Object.keys(errors).length > 0;
  const errorOf = (metric: string): string => (metric in errors ? `± ${short(errors[metric]!)}` : "–");
  return [
    {
      caption: "How good it is, on held-out examples",
      columns: ["metric", "this model", ...(withErrors ? ["standard error"] : []), ...others.map(({ name }) => name)],
      rows: Object.entries(metrics).map(([metric, value]) => [
        metric,
        number(value),
        ...(withErrors ? [errorOf(metric)] : []),
        ...others.map((each) => (metric in each.metrics ? number(each.metrics[metric]) : "–")),
      ]),
    },
  ];
}

/** Tables of mistakes and scores, shortened to the rows that say most. */
export const findingTables = (findings: readonly Finding[]): Table[] =>
  findings.map(({ title, columns, rows, most = rows.length }) => ({
    caption: rows.length > most ? `${title}: ${most} of ${number(rows.length)}` : title,
    columns: [...columns],
    rows: rows.slice(0, most).map((row) => row.map((cell) => (typeof cell === "number" ? number(cell) : cell))),
  }));

/** Draws the numbers that were predicted over the true ones. */
export const findingPictures = (findings: readonly Finding[]): Picture[] =>
  findings.flatMap(({ points = [], ...finding }) => (points.length > 0 ? [scatter(points, finding)] : []));

function scatter(points: NonNullable<Finding["points"]>, { columns, rows }: Omit<Finding, "points">): Picture {
  const dots = points.map(([truth, found]) => ({ truth, found }));
  const [least, most] = rangeOf(points.map(([truth]) => truth));
  const off = points.reduce((sum, [truth, found]) => sum + Math.abs(found - truth) / points.length, 0);
  return {
    title: "Predicted and true values",
    summary: `On the dashed line, both are equal. They are ${number(off)} apart on average; the true numbers range from ${number(least)} to ${number(most)}.`,
    svg: draw({
      height: 300,
      x: { label: "true", tickFormat: tick },
      y: { label: "predicted", tickFormat: tick, grid: true },
      marks: [
        Plot.line(
          [least, most].map((each) => [each, each]),
          { stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.5 },
        ),
        Plot.dot(dots, { x: "truth", y: "found", fill: "var(--series-0)", fillOpacity: 0.6, r: 2.5 }),
      ],
    }),
    numbers: {
      caption: "Largest differences first",
      columns: [...columns],
      rows: rows.map((row) => row.map((cell) => (typeof cell === "number" ? number(cell) : cell))),
    },
  };
}
