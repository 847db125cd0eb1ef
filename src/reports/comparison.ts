import * as Plot from "@observablehq/plot";
import { UserError } from "../errors.ts";
import type { RunRecords } from "../runs/read-run.ts";
import type { RunResult } from "../runs/records.ts";
import { draw, labelRoom, shortened } from "./drawing.ts";
import { averagePattern } from "./freezing-pictures.ts";
import type { Picture, Table } from "./page.ts";
import { counted, deviation, duration, grouped, mean, number, prefixed, spread, tick } from "./quantities.ts";

/** A finished run as one of a comparison: runs of one label and task differ in their seed alone. */
interface Compared {
  label: string;
  result: RunResult;
  run: RunRecords;
}

/** What is the same for every seed of a setting is its options without these. */
const ofOneRun = new Set(["seed", "output"]);

/** Names each run by its method, and by those of its options in which it differs from runs of that method on the same task. */
function labelled(runs: (RunRecords & { result: RunResult })[]): Compared[] {
  const varying = new Map(
    [...grouped(runs, (run) => run.result.method)].map(([method, ofMethod]) => {
      const options = [...new Set(ofMethod.flatMap(({ config }) => Object.keys(config)))];
      const differs = (of: RunRecords[], option: string) =>
        new Set(of.map(({ config }) => JSON.stringify(config[option]))).size > 1;
      const tasks = [...grouped(ofMethod, (run) => run.result.task).values()];
      return [
        method,
        options.filter((option) => !ofOneRun.has(option) && tasks.some((ofTask) => differs(ofTask, option))),
      ];
    }),
  );
  return runs.map((run) => {
    const options = varying.get(run.result.method)!.map((option) => `${option} ${text(run.config[option])}`);
    return { label: [run.result.method, ...options].join(", "), result: run.result, run };
  });
}

const text = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "default"));

/**
 * Checks that the runs have something to compare: a task on which every method ran, and more than one run of it.
 * @throws {UserError} naming the methods and tasks otherwise.
 */
export function checkComparable(runs: (RunRecords & { result: RunResult })[]): void {
  const methods = new Set(runs.map(({ result }) => result.method));
  const tasks = grouped(runs, ({ result }) => result.task);
  const shared = [...tasks.values()].some(
    (of) => of.length > 1 && new Set(of.map(({ result }) => result.method)).size === methods.size,
  );
  if (shared) return;
  const ran = runs.map(({ directory, result }) => `${result.method} on ${result.task} in ${directory}`);
  throw new UserError(
    `these runs can't be compared, for no task was run by all: ${ran.join("; ")}; give runs of the same task`,
  );
}

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

/** Run time, FLOPs and trainable parameters by method, over the tasks that all of them ran; ELoRA = 1 where it is among them. */
function costs(runs: Compared[]): Picture[] {
  const labels = [...grouped(runs, ({ label }) => label).keys()];
  const tasks = [...grouped(runs, ({ result }) => result.task)].filter(
    ([, of]) => new Set(of.map(({ label }) => label)).size === labels.length,
  );
  if (!tasks.length || labels.length < 2) return [];
  const reference = runs.find(({ result }) => result.method === "elora")?.label;
  const measures: {
    title: string;
    of: (result: RunResult) => number;
    shown: (value: number) => string;
    unit: string;
  }[] = [
    { title: "Run time", of: ({ seconds }) => seconds, shown: duration, unit: "seconds" },
    { title: "Floating-point operations", of: ({ flops }) => flops, shown: (v) => prefixed(v, "FLOP"), unit: "FLOP" },
    {
      title: "Trainable parameters",
      of: ({ trainable }) => trainable.average,
      shown: (value) => number(Math.round(value)),
      unit: "parameters, average over training",
    },
  ];
  const over = `over ${counted(tasks.length, "task")} (${tasks.map(([task]) => task).join(", ")})`;
  return measures.map(({ title, of, shown, unit }) => {
    const values = labels.map((label) => {
      const ofTasks = tasks.map(([, runs]) => {
        const average = (label: string) =>
          mean(runs.filter((run) => run.label === label).map(({ result }) => of(result)));
        return average(label) / (reference === undefined ? 1 : average(reference));
      });
      const value = mean(ofTasks);
      return {
        label,
        value,
        shown: reference === undefined ? shown(value) : `${number(Number(value.toPrecision(3)))}×`,
      };
    });
    const ordered = values.toSorted((a, b) => a.value - b.value);
    const [least, most] = [ordered[0]!, ordered.at(-1)!];
    return bars(
      reference === undefined ? title : `${title} relative to ELoRA`,
      `Mean ${over}: least for ${least.label} (${least.shown}), most for ${most.label} (${most.shown}).`,
      values,
      reference === undefined ? unit : `${title.toLowerCase()}, ELoRA = 1`,
      reference === undefined ? undefined : 1,
    );
  });
}

/** Metrics of every method on one task, with the standard deviation over its runs. */
function scores(task: string, runs: Compared[]): Picture {
  const values = [...grouped(runs, ({ label }) => label)].flatMap(([label, of]) =>
    Object.keys(of[0]!.result.metrics).map((metric) => {
      const values = of.flatMap(({ result }) => result.metrics[metric] ?? []);
      const [middle, width] = [mean(values), deviation(values)];
      return {
        label,
        metric,
        middle,
        low: middle - width,
        high: middle + width,
        runs: values.length,
        shown: spread(values),
      };
    }),
  );
  const metrics = grouped(values, ({ metric }) => metric);
  const labels = [...grouped(values, ({ label }) => label).keys()];
  const title = `Scores on ${task}`;
  return {
    title,
    summary: `${[...metrics]
      .map(([metric, of]) => {
        const best = of.reduce((a, b) => (b.middle > a.middle ? b : a));
        return `Highest ${metric}: ${best.label}, ${best.shown}.`;
      })
      .join(" ")} Dots are means, bars one standard deviation to each side.`,
    svg: draw({
      height: 50 + metrics.size * (30 + 26 * labels.length),
      marginLeft: labelRoom(values.map(({ label }) => label)),
      marginRight: 16,
      marginTop: 26,
      marginBottom: 24,
      x: { label: null, tickFormat: tick, grid: true, nice: true, ticks: 5 },
      y: { label: null, domain: labels, tickSize: 0, tickFormat: shortened },
      fy: { label: null, axis: null, domain: [...metrics.keys()], padding: 0.2 },
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
          x: "middle",
          y: "label",
          fy: "metric",
          r: 4.5,
          fill: "var(--series-0)",
          title: ({ label, metric, shown }) => `${label}, ${metric}: ${shown}`,
        }),
        Plot.text([...metrics.keys()], {
          fy: (metric) => metric,
          text: (metric) => metric,
          frameAnchor: "top-left",
          dy: -15,
          fontWeight: "bold",
        }),
      ],
    }),
    numbers: {
      caption: `Mean ± standard deviation on ${task}`,
      columns: ["method", ...metrics.keys(), "runs"],
      rows: labels.map((label) => {
        const of = values.filter((value) => value.label === label);
        return [
          label,
          ...[...metrics.keys()].map((metric) => of.find((value) => value.metric === metric)?.shown ?? "–"),
          of[0]!.runs,
        ];
      }),
    },
  };
}

/** Pictures and the table of facts of several finished runs. */
export function comparison(runs: (RunRecords & { result: RunResult })[]): { pictures: Picture[]; facts: Table } {
  const compared = labelled(runs);
  const tasks = grouped(compared, ({ result }) => result.task);
  return {
    pictures: [
      ...[...tasks].map(([task, of]) => scores(task, of)),
      ...costs(compared),
      ...[...tasks].flatMap(([task, of]) =>
        [...grouped(of, ({ label }) => label)].flatMap(([label, ofLabel]) =>
          averagePattern(
            `${label} on ${task}`,
            ofLabel.map(({ run }) => run.freezing),
          ),
        ),
      ),
    ],
    facts: {
      caption: "All runs",
      columns: [
        "method",
        "task",
        "seed",
        "metrics, best epoch",
        "trainable, average",
        "head",
        "frozen",
        "time",
        "a step",
        "peak memory",
        "operations",
        "folder",
      ],
      rows: compared.map(({ label, result, run }) => [
        label,
        result.task,
        String(result.seed),
        metricsText(result.metrics),
        number(Math.round(result.trainable.average)),
        number(result.trainable.head),
        `${result.frozen.count} of ${result.frozen.of}`,
        duration(result.seconds),
        duration(result.secondsPerStep),
        prefixed(result.peakMemory, "B"),
        prefixed(result.flops, "FLOP"),
        run.directory,
      ]),
    },
  };
}

export const metricsText = (metrics: Record<string, number>) =>
  Object.entries(metrics)
    .map(([metric, value]) => `${metric} ${number(value)}`)
    .join(", ");
