import * as Plot from "@observablehq/plot";
import { COST_REFERENCE } from "../methods/methods.ts";
import type { Costs } from "../studies/over-tasks.ts";
import type { Spread } from "../studies/statistics.ts";
import type { SettingRow, StudyResults, TaskResults } from "../studies/study-results.ts";
import { draw, labelRoom, shortened } from "./drawing.ts";
import type { Markup, Picture } from "./page.ts";
import { counted, number, spread, tick } from "./quantities.ts";

/** Maximum number of settings whose scores are drawn side by side. */
const MOST_SETTINGS = 24;

/** A row of a picture: a mean, and one standard deviation to each side. */
export interface Dot {
  label: string;
  /** Part of the picture. */
  part: string;
  score: Spread;
}

/** Draws means as dots, one row per label. Each of several measures has its own part. */
export function dots(all: readonly Dot[], axis: Plot.ScaleOptions): Markup {
  const points = all.map(({ label, part, score }) => {
    const { mean, deviation = 0 } = score;
    const title = `${label}, ${part}: ${spread(score)}`;
    return { label, part, mean, low: mean - deviation, high: mean + deviation, title };
  });
  const labels = [...new Set(points.map(({ label }) => label))];
  const parts = [...new Set(points.map(({ part }) => part))];
  const place = { y: "label", fy: "part" };
  return draw({
    height: 50 + parts.length * (30 + 26 * labels.length),
    marginLeft: labelRoom(labels),
    marginRight: 16,
    marginTop: 26,
    x: { label: null, tickFormat: tick, grid: true, nice: true, ticks: 5, ...axis },
    y: { label: null, domain: labels, tickSize: 0, tickFormat: shortened },
    fy: { label: null, axis: null, domain: parts, padding: 0.2 },
    marks: [
      Plot.frame({ strokeOpacity: 0.25 }),
      Plot.ruleY(points, { ...place, x1: "low", x2: "high", stroke: "var(--series-0)", strokeWidth: 2 }),
      Plot.dot(points, { ...place, x: "mean", r: 4.5, fill: "var(--series-0)", title: "title" }),
      Plot.text(parts, {
        fy: (part) => part,
        text: (part) => part,
        frameAnchor: "top-left",
        dy: -15,
        fontWeight: "bold",
      }),
    ],
  });
}

/** Explanation of bars, in pictures that have some. @param seeds maximum number of seeds of a setting */
export const bars = (seeds: number): string =>
  seeds > 1 ? ` Bars are one standard deviation over ${counted(seeds, "seed")} to each side.` : "";

/** Draws the metrics of every setting on one task. Settings are numbered if their names are too long for an axis. */
export function settingScores(results: TaskResults): Picture[] {
  const { task, metric, best } = results;
  const rows = results.rows.filter(({ score }) => score);
  if (rows.length < 2 || rows.length > MOST_SETTINGS) return [];
  const [least, ...more] = rows.map(({ score }) => score!).toSorted((a, b) => a.mean - b.mean);
  const chosen = rows.find(({ setting }) => setting === best)?.score;
  const numbered = rows.some(({ setting }) => shortened(setting) !== setting);
  const nameOf = ({ setting }: SettingRow, i: number): string => (numbered ? String(i + 1) : setting);
  const metrics = [...new Set([metric, ...rows.flatMap(({ scores }) => Object.keys(scores))])];
  const all = metrics.flatMap((part) =>
    rows.flatMap((row, i): Dot[] => {
      const score = row.scores[part];
      return score ? [{ label: nameOf(row, i), part, score }] : [];
    }),
  );
  return [
    {
      title: `Scores on ${task}`,
      summary: `${metric} from ${spread(least!)} to ${spread(more.at(-1)!)}${chosen ? `; the best setting, ${best}, has ${spread(chosen)}` : ""}.${bars(Math.max(...rows.map(({ score }) => score!.count)))}`,
      svg: dots(all, {}),
      numbers: {
        caption: `Mean ± standard deviation on ${task}`,
        columns: [...(numbered ? [""] : []), "setting", ...metrics, "seeds"],
        rows: rows.map(({ setting, scores, score }, i) => [
          ...(numbered ? [i + 1] : []),
          setting,
          ...metrics.map((name) => (scores[name] ? spread(scores[name]) : "–")),
          score!.count,
        ]),
      },
    },
  ];
}

const MEASURES: Readonly<Record<string, keyof Costs>> = {
  time: "seconds",
  operations: "flops",
  "trainable parameters": "trainable",
};

/** Draws the costs of settings over the tasks that all of them finished, relative to the reference's. */
export function relativeCosts({ settings: { rows, sharedTasks, reference } }: StudyResults): Picture[] {
  const known = rows.flatMap(({ setting, relativeCosts: costs }) => (costs ? [{ setting, costs }] : []));
  if (reference === undefined || known.length < 2) return [];
  const one = COST_REFERENCE.label;
  const all = Object.entries(MEASURES).flatMap(([part, name]) =>
    known.map(({ setting, costs }): Dot => ({ label: setting, part, score: { mean: costs[name], count: 1 } })),
  );
  const means = all.flatMap(({ score: { mean } }) => (mean > 0 ? mean : []));
  const log = Math.max(...means) / Math.min(...means) > 30;
  const times = (value: number): string => `${number(Number(value.toPrecision(3)))}×`;
  return [
    {
      title: `Costs relative to ${one}`,
      summary: `${one}'s are 1; means over ${counted(sharedTasks.length, "task")} (${sharedTasks.join(", ")}).${log ? " The scale is logarithmic." : ""}`,
      svg: dots(
        all.filter(({ score }) => !log || score.mean > 0),
        log ? { type: "log" } : { zero: true },
      ),
      numbers: {
        caption: `Costs relative to ${one}`,
        columns: ["setting", ...Object.keys(MEASURES)],
        rows: known.map(({ setting, costs }) => [
          setting,
          ...Object.values(MEASURES).map((name) => times(costs[name])),
        ]),
      },
    },
  ];
}
