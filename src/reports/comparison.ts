import * as Plot from "@observablehq/plot";
import { COST_REFERENCE } from "../methods/methods.ts";
import type { RunResult } from "../runs/records.ts";
import { scoredData } from "../runs/run-data.ts";
import type { Comparison, Costs } from "../studies/comparison.ts";
import { grouped } from "../studies/statistics.ts";
import { boundaryPaths } from "./block-pictures.ts";
import { draw, labelRoom, shortened } from "./drawing.ts";
import { averagePattern } from "./freezing-pictures.ts";
import type { Picture, Table } from "./page.ts";
import { counted, duration, metricsText, number, prefixed, spread, tick } from "./quantities.ts";
import { measuredOn } from "./run-page.ts";

/** Horizontal bars with their values written beside them; on a logarithmic scale where the longest would hide the rest. */
function bars(
  title: string,
  summary: string,
  values: { label: string; value: number; shown: string }[],
  axis: string,
  reference?: number,
): Picture {
  const positive = values.flatMap(({ value }) => (value > 0 ? value : []));
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  const log = most / least > 30;
  const start = log ? 10 ** Math.floor(Math.log10(least) - 0.01) : 0;
  const end = ({ value }: { value: number }) => Math.max(value, start);
  return {
    title,
    summary: log ? `${summary} The scale is logarithmic.` : summary,
    svg: draw({
      height: 50 + 30 * values.length,
      marginLeft: labelRoom(values.map(({ label }) => label)),
      marginRight: 20 + Math.max(...values.map(({ shown }) => shown.length)) * 7,
      x: {
        label: axis,
        grid: true,
        ticks: 4,
        tickFormat: tick,
        ...(log ? { type: "log", domain: [start, most] } : {}),
      },
      y: { label: null, domain: values.map(({ label }) => label), tickSize: 0, tickFormat: shortened },
      marks: [
        Plot.barX(values, { x1: start, x2: end, y: "label", fill: "var(--series-0)", insetTop: 3, insetBottom: 3 }),
        Plot.text(values, { x: end, y: "label", text: "shown", textAnchor: "start", dx: 5 }),
        reference === undefined ? null : Plot.ruleX([reference], { stroke: "var(--ink)", strokeDasharray: "3 3" }),
        Plot.ruleX([start]),
      ],
    }),
    numbers: {
      caption: title,
      columns: ["method", axis],
      rows: values.map(({ label, shown }) => [label, shown]),
    },
  };
}

/** Costs that are drawn, by their names in the comparison. */
const measures: { cost: keyof Costs; title: string; shown: (value: number) => string; unit: string }[] = [
  { cost: "seconds", title: "Run time", shown: duration, unit: "seconds" },
  { cost: "flops", title: "Floating-point operations", shown: (value) => prefixed(value, "FLOP"), unit: "FLOP" },
  {
    cost: "trainable",
    title: "Trainable parameters",
    shown: (value) => number(Math.round(value)),
    unit: "parameters, average over training",
  },
];

/** Costs of every setting over the tasks that all of them ran, relative to the reference's where it is among them. */
function costs({ rows, sharedTasks, data, reference }: Comparison): Picture[] {
  if (sharedTasks.length === 0 || rows.length < 2) return [];
  const over = `over ${counted(sharedTasks.length, "task")} (${sharedTasks.map((task) => data[task]!.name).join(", ")})`;
  return measures.map(({ cost, title, shown, unit }) => {
    const values = rows.map(({ label, costs, relativeCosts }) =>
      relativeCosts
        ? { label, value: relativeCosts[cost], shown: `${number(Number(relativeCosts[cost].toPrecision(3)))}×` }
        : { label, value: costs![cost], shown: shown(costs![cost]) },
    );
    const ordered = values.toSorted((a, b) => a.value - b.value);
    const [least, most] = [ordered[0]!, ordered.at(-1)!];
    const summary = `Mean ${over}: least for ${least.label} (${least.shown}), most for ${most.label} (${most.shown}).`;
    const { label: one } = COST_REFERENCE;
    return reference === undefined
      ? bars(title, summary, values, unit)
      : bars(`${title} relative to ${one}`, summary, values, `${title.toLowerCase()}, ${one} = 1`, 1);
  });
}

/** Metrics of every setting on one task, with the standard deviation over its runs. */
function scores(task: string, { rows, best, data }: Comparison): Picture {
  const ran = rows.filter(({ scores }) => scores[task]);
  const labels = ran.map(({ label }) => label);
  const spreads = new Map(ran.map(({ label, scores }) => [label, scores[task]!]));
  const metrics = best.filter((of) => of.task === task).map(({ metric }) => metric);
  const values = [...spreads].flatMap(([label, of]) =>
    Object.entries(of).map(([metric, { mean, deviation = 0 }]) => {
      return { label, metric, mean, low: mean - deviation, high: mean + deviation, shown: spread(of[metric]!) };
    }),
  );
  const of = data[task]!;
  const title = `Scores on ${of.name}`;
  return {
    title,
    summary: `${measuredOn(of)} ${best
      .filter((of) => of.task === task)
      .map(({ metric, best, label }) => {
        return `${best === "lowest" ? "Lowest" : "Highest"} ${metric}: ${label}, ${spread(spreads.get(label)![metric]!)}.`;
      })
      .join(" ")} Dots are means, bars one standard deviation to each side.`,
    svg: draw({
      height: 50 + metrics.length * (30 + 26 * labels.length),
      marginLeft: labelRoom(values.map(({ label }) => label)),
      marginRight: 16,
      marginTop: 26,
      marginBottom: 24,
      x: { label: null, tickFormat: tick, grid: true, nice: true, ticks: 5 },
      y: { label: null, domain: labels, tickSize: 0, tickFormat: shortened },
      fy: { label: null, axis: null, domain: metrics, padding: 0.2 },
      marks: [
        Plot.frame({ strokeOpacity: 0.25 }),
        Plot.ruleY(values, {
          x1: "low",
          x2: "high",
          y: "label",
          fy: "metric",
          stroke: "var(--series-0)",
          strokeWidth: 2,
        }),
        Plot.dot(values, {
          x: "mean",
          y: "label",
          fy: "metric",
          r: 4.5,
          fill: "var(--series-0)",
          title: ({ label, metric, shown }) => `${label}, ${metric}: ${shown}`,
        }),
        Plot.text(metrics, {
          fy: (metric) => metric,
          text: (metric) => metric,
          frameAnchor: "top-left",
          dy: -15,
          fontWeight: "bold",
        }),
      ],
    }),
    numbers: {
      caption: `Mean ± standard deviation on ${of.name}`,
      columns: ["method", ...metrics, "runs"],
      rows: [...spreads].map(([label, of]) => [
        label,
        ...metrics.map((metric) => (of[metric] ? spread(of[metric]) : "–")),
        Math.max(...Object.values(of).map(({ count }) => count)),
      ]),
    },
  };
}

/** Pictures and the table of facts of a comparison. */
export function comparisonContent(comparison: Comparison): { pictures: Picture[]; facts: Table } {
  const { runs, tasks, data } = comparison;
  const blocksFreeze = runs.some(({ run }) => run.result.blocks);
  return {
    pictures: [
      ...tasks.map((task) => scores(task, comparison)),
      ...costs(comparison),
      ...[...grouped(runs, ({ task }) => task)].flatMap(([task, of]) =>
        [...grouped(of, ({ label }) => label)].flatMap(([label, ofLabel]) => {
          const title = `${label} on ${data[task]!.name}`;
          const runs = ofLabel.map(({ run: { result, freezing } }) => {
            return { seed: result.seed, records: freezing, lastStep: result.steps - 1 };
          });
          return [
            ...averagePattern(
              title,
              runs.map(({ records }) => records),
            ),
            ...boundaryPaths(title, runs),
          ];
        }),
      ),
    ],
    facts: {
      caption: "All runs",
      columns: [
        "method",
        "data",
        "seed",
        "metrics, best epoch",
        "trained on",
        "scored on",
        "trainable, average",
        "head",
        "frozen",
        ...(blocksFreeze ? ["blocks frozen", "operations saved"] : []),
        "time",
        "a step",
        "peak memory",
        "operations",
        "folder",
      ],
      rows: runs.map(({ label, task, run }) => {
        const { directory, result } = run;
        const { trainedOn, scoredOn } = scoredData([run]);
        return [
          label,
          data[task]!.name,
          String(result.seed),
          metricsText(result.metrics),
          trainedOn,
          scoredOn,
          number(Math.round(result.trainable.average)),
          number(result.trainable.head),
          `${result.frozen.count} of ${result.frozen.of}`,
          ...(blocksFreeze ? frozenBlockCells(result) : []),
          duration(result.seconds),
          duration(result.secondsPerStep),
          prefixed(result.peakMemory, "B"),
          prefixed(result.flops, "FLOP"),
          directory,
        ];
      }),
    },
  };
}

/** How many blocks left training, and what of the operations that saved. */
function frozenBlockCells({ blocks, flops }: RunResult): [string, string] {
  if (!blocks) return ["–", "–"];
  const frozenBlocks = blocks.frozenAtStep.filter((step) => step !== null).length;
  const share = (100 * blocks.flopsSaved) / (flops + blocks.flopsSaved);
  return [`${frozenBlocks} of ${blocks.frozenAtStep.length}`, `${number(Math.round(share))} %`];
}
