import * as Plot from "@observablehq/plot";
import type { RunRecords } from "../runs/read-run.ts";
import { bestIs, bestOf } from "../studies/best.ts";
import { grouped, mean, median } from "../studies/statistics.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../training/training-records.ts";
import { bins, draw } from "./drawing.ts";
import type { Picture } from "./page.ts";
import { counted, duration, number, tick } from "./quantities.ts";

const mostPoints = 150;

/** Describes how many steps a point of a table represents, for its caption. */
const binning = (steps: StepRecord[], what: string) => {
  const size = Math.ceil(steps.length / mostPoints);
  return size > 1 ? `${what} of every ${size} steps` : `${what} of each step`;
};

function loss(steps: StepRecord[], evaluations: EvaluationRecord[]): Picture {
  const training = bins(steps, mostPoints).map((bin) => ({
    step: bin.at(-1)!.step,
    loss: mean(bin.map((record) => record.loss)),
  }));
  const best = evaluations.toSorted((a, b) => a.loss - b.loss)[0];
  const title = "Loss";
  return {
    title,
    summary: `Training loss went from ${number(training[0]!.loss)} to ${number(training.at(-1)!.loss)} over ${counted(steps.length, "step")}.${
      best ? ` Validation loss was lowest, ${number(best.loss)}, after epoch ${number(best.epoch)}.` : ""
    }`,
    legend: [
      { color: "var(--series-0)", label: "training" },
      ...(best ? [{ color: "var(--series-1)", label: "validation (dots)" }] : []),
    ],
    svg: draw({
      height: 240,
      x: { label: "step" },
      y: { label: "loss", tickFormat: tick, grid: true },
      marks: [
        Plot.lineY(training, { x: "step", y: "loss", stroke: "var(--series-0)" }),
        Plot.lineY(evaluations, { x: "step", y: "loss", stroke: "var(--series-1)" }),
        Plot.dot(evaluations, { x: "step", y: "loss", fill: "var(--series-1)", r: 3.5 }),
      ],
    }),
    numbers: {
      caption: binning(steps, "Mean loss"),
      columns: ["step", "training", "validation"],
      rows: [
        ...training.map(({ step, loss }) => ({ step, cells: [number(loss), ""] })),
        ...evaluations.map(({ step, loss }) => ({ step, cells: ["", number(loss)] })),
      ]
        .sort((a, b) => a.step - b.step)
        .map(({ step, cells }) => [number(step), ...cells]),
    },
  };
}

interface MetricPoint {
  epoch: number;
  metric: string;
  value: number;
}

/** A metric that is larger by this factor hides another's changes. Metrics up to 1 share a scale. */
const HIDES = 10;

/** Draws metrics of one scale in one picture: a perplexity of hundreds is not drawn with an accuracy. */
function metrics(evaluations: EvaluationRecord[]): Picture[] {
  const points = evaluations.flatMap(({ epoch, metrics }) =>
    Object.entries(metrics).map(([metric, value]): MetricPoint => ({ epoch, metric, value })),
  );
  const sizes = [...grouped(points, ({ metric }) => metric)].map(([name, own]) => ({
    name,
    size: own.reduce((most, { value }) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 1),
  }));
  const scales: { largest: number; names: string[] }[] = [];
  for (const { name, size } of sizes.toSorted((a, b) => b.size - a.size)) {
    const last = scales.at(-1);
    if (last && last.largest <= HIDES * size) last.names.push(name);
    else scales.push({ largest: size, names: [name] });
  }
  const place = (name: string): number => sizes.findIndex((each) => each.name === name);
  return scales
    .map(({ names }) => names.toSorted((a, b) => place(a) - place(b)))
    .sort(([a], [b]) => place(a!) - place(b!))
    .map((names, i) =>
      metricsOf(evaluations, points, names, i === 0 ? "Validation metrics" : `Validation ${names.join(", ")}`),
    );
}

function metricsOf(evaluations: EvaluationRecord[], all: MetricPoint[], names: string[], title: string): Picture {
  const points = all.filter(({ metric }) => names.includes(metric));
  const color = (metric: string) => `var(--series-${names.indexOf(metric) % 4})`;
  return {
    title,
    summary: names
      .map((name) => {
        const of = points.filter(({ metric }) => metric === name);
        const best = bestOf(name, of, ({ value }) => value);
        if (!best) return `${name} could not be computed after any epoch.`;
        return `${name} was ${bestIs(name)}, ${number(best.value)}, after epoch ${number(best.epoch)} and ${number(of.at(-1)!.value)} at the end.`;
      })
      .join(" "),
    legend: names.map((name) => ({ color: color(name), label: name })),
    svg: draw({
      height: 240,
      x: { label: "epoch", ticks: Math.min(10, evaluations.length), tickFormat: tick },
      y: { label: names.length === 1 ? names[0]! : "metric", tickFormat: tick, grid: true },
      color: { type: "identity" },
      marks: [
        Plot.lineY(points, { x: "epoch", y: "value", z: "metric", stroke: ({ metric }) => color(metric) }),
        Plot.dot(points, { x: "epoch", y: "value", fill: ({ metric }) => color(metric), r: 3 }),
      ],
    }),
    numbers: {
      caption: "Metrics after each epoch",
      columns: ["epoch", ...names],
      rows: evaluations.map(({ epoch, metrics }) => [number(epoch), ...names.map((name) => number(metrics[name]))]),
    },
  };
}

function trainable(steps: StepRecord[]): Picture {
  const changes = steps.filter((step, i) => step.trainable !== steps[i - 1]?.trainable);
  const [first, last] = [steps[0]!, steps.at(-1)!];
  const title = "Trainable parameters";
  // The count of AdaLoRA and SoRA may change at every step.
  const shown = bins(changes, mostPoints).map((bin) => bin[0]!);
  return {
    title,
    summary: `From ${number(first.trainable)} to ${number(last.trainable)}, ${number(Math.round(mean(steps.map(({ trainable }) => trainable))))} on average, without the head.`,
    svg: draw({
      height: 240,
      x: { label: "step" },
      y: { label: "parameters", tickFormat: tick, grid: true, zero: true },
      marks: [
        Plot.ruleY([0]),
        Plot.lineY([...shown, last], {
          x: "step",
          y: "trainable",
          stroke: "var(--series-0)",
          strokeWidth: 2,
          curve: "step-after",
        }),
      ],
    }),
    numbers: {
      caption: "Trainable parameters from each step on",
      columns: ["from step", "parameters"],
      rows: shown.map(({ step, trainable }) => [number(step), number(trainable)]),
    },
  };
}

function stepTimes(steps: StepRecord[], checks: FreezingRecord[]): Picture {
  const points = bins(steps, mostPoints).map((bin) => ({
    step: bin.at(-1)!.step,
    seconds: median(bin.map((record) => record.seconds)),
  }));
  const freezes = checks.filter(({ frozen, blocks }) => frozen.length || blocks?.frozenBlocks);
  const stages = [...grouped(steps, ({ frozen, frozenBlocks = 0 }) => `${frozen} ${frozenBlocks}`).values()].map(
    (of) => ({
      frozen: of[0]!.frozen,
      frozenBlocks: of[0]!.frozenBlocks ?? 0,
      count: of.length,
      seconds: median(of.map(({ seconds }) => seconds)),
    }),
  );
  const [first, last] = [stages[0]!, stages.at(-1)!];
  const blocksFreeze = last.frozenBlocks > 0;
  const title = "Seconds per step";
  return {
    title,
    summary:
      stages.length > 1
        ? `A step took ${duration(first.seconds)} (median) with ${counted(first.frozen, "matrix", "matrices")} frozen, ${duration(last.seconds)} with ${number(last.frozen)}${blocksFreeze ? ` and ${counted(last.frozenBlocks, "block")} frozen` : ""}. Vertical lines mark where matrices${blocksFreeze ? " or blocks" : ""} froze.`
        : `A step took ${duration(first.seconds)} (median).`,
    svg: draw({
      height: 240,
      x: { label: "step" },
      y: { label: "seconds", tickFormat: tick, grid: true, zero: true },
      marks: [
        Plot.ruleY([0]),
        Plot.ruleX(freezes, { x: "step", stroke: "var(--series-1)", strokeOpacity: 0.4, strokeWidth: 0.75 }),
        Plot.lineY(points, { x: "step", y: "seconds", stroke: "var(--series-0)" }),
      ],
    }),
    numbers: {
      caption: `Median seconds of a step, by matrices frozen${blocksFreeze ? " and blocks frozen" : ""}`,
      columns: ["matrices frozen", ...(blocksFreeze ? ["blocks frozen"] : []), "steps", "seconds per step"],
      rows: stages.map(({ frozen, frozenBlocks, count, seconds }) => [
        number(frozen),
        ...(blocksFreeze ? [number(frozenBlocks)] : []),
        number(count),
        number(seconds),
      ]),
    },
  };
}

/** Curves of a run's training that have at least two points and are not flat. */
export function trainingPictures({
  steps,
  evaluations,
  freezing,
}: Pick<RunRecords, "steps" | "evaluations" | "freezing">): Picture[] {
  // If answers are compared with each other, the loss is about 0 at every step. Rewards have separate pictures.
  const answers = steps[0]?.rollout !== undefined;
  return [
    ...(steps.length > 1 && !answers ? [loss(steps, evaluations)] : []),
    ...(evaluations.length > 1 && !answers ? metrics(evaluations) : []),
    ...(new Set(steps.map(({ trainable }) => trainable)).size > 1 ? [trainable(steps)] : []),
    ...(steps.length > 1 ? [stepTimes(steps, freezing)] : []),
  ];
}
