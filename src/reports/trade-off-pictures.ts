import * as Plot from "@observablehq/plot";
import type { SettingRow, TaskResults } from "../studies/study-results.ts";
import { draw } from "./drawing.ts";
import type { Picture } from "./page.ts";
import { counted, number, prefixed, rangeOf, short, spread, tick } from "./quantities.ts";
import { bars } from "./setting-pictures.ts";

/** Costs of a setting that a study compares its score with. */
const COSTS: {
  title: string;
  value: (row: SettingRow) => number | undefined;
  shown: (value: number) => string;
  axis: string;
}[] = [
  {
    title: "Score and trainable parameters",
    value: ({ trainable }) => trainable?.mean,
    shown: (value) => number(Math.round(value)),
    axis: "trainable parameters, average over training",
  },
  {
    title: "Score and time",
    value: ({ seconds }) => seconds?.mean,
    shown: (value) => `${short(value)} s`,
    axis: "seconds of a run",
  },
  {
    title: "Score and memory",
    value: ({ peakMemory }) => peakMemory,
    shown: (value) => prefixed(value, "B"),
    axis: "peak memory, bytes",
  },
];

/** Draws the score of each configuration against its costs, if costs differ by more than a hundredth. */
export function tradeOffs(results: TaskResults): Picture[] {
  const { rows, task } = results;
  return COSTS.flatMap(({ title: name, value, shown, axis }) => {
    const points = rows.flatMap((row) => {
      const cost = value(row);
      return cost !== undefined && row.score
        ? [
            {
              label: row.setting,
              cost,
              mean: row.score.mean,
              low: row.score.mean - (row.score.deviation ?? 0),
              high: row.score.mean + (row.score.deviation ?? 0),
              score: row.score,
            },
          ]
        : [];
    });
    const costs = points.map(({ cost }) => cost);
    const [least, most] = rangeOf(costs);
    if (points.length < 2 || most <= 1.01 * least) return [];
    const log = least > 0 && most / least > 10;
    const title = `${name}, ${task}`;
    const numbered = points.map((point, i) => ({ ...point, place: String(i + 1) }));
    return [
      {
        title,
        summary: `${counted(points.length, "setting")}, numbered as in the table, from ${shown(least)} to ${shown(most)}${log ? ", on a logarithmic scale" : ""}.${bars(Math.max(...points.map(({ score: { count } }) => count)))}`,
        svg: draw({
          height: 240,
          x: { label: axis, tickFormat: tick, ticks: 4, nice: true, ...(log && { type: "log" }) },
          y: { label: results.metric, grid: true, nice: true, tickFormat: tick },
          marks: [
            Plot.ruleX(numbered, { x: "cost", y1: "low", y2: "high", stroke: "var(--series-0)", strokeOpacity: 0.5 }),
            Plot.text(numbered, { x: "cost", y: "mean", text: "place", dx: 9, fill: "currentColor" }),
            Plot.dot(numbered, {
              x: "cost",
              y: "mean",
              r: 4,
              fill: "var(--series-0)",
              title: (point: (typeof points)[number]) => `${point.label}: ${spread(point.score)}, ${shown(point.cost)}`,
            }),
          ],
        }),
        numbers: {
          caption: title,
          columns: ["", "setting", axis, results.metric],
          rows: numbered.map(({ place, label, cost, score }) => [place, label, shown(cost), spread(score)]),
        },
      },
    ];
  });
}
