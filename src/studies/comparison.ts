import { COST_REFERENCE } from "../methods/methods.ts";
import type { RunResult } from "../runs/records.ts";
import type { ScoredData } from "../runs/run-data.ts";
import { bestIs, bestOf } from "./best.ts";
import { type ComparedRun, dataByTask, type LabelledRun, withTasks } from "./compared-data.ts";
import { grouped, mean, type Spread, spreadOf } from "./statistics.ts";

/** What training cost, as mean over runs and tasks. */
export interface Costs {
  /** Trainable parameters, averaged over training; the head is not counted. */
  trainable: number;
  /** Wall-clock seconds of training. */
  seconds: number;
  /** Seconds of the median step. */
  secondsPerStep: number;
  /** Floating-point operations spent in training. */
  flops: number;
}

/** One setting over all tasks. */
export interface ComparisonRow {
  label: string;
  method: string;
  /** Of methods that have one. */
  rank?: number;
  /** By task and metric, in Hugging Face's names and scale. */
  scores: Record<string, Record<string, Spread>>;
  /** Mean of the tasks' scores; absent where a task is missing, or where high is better on one task and low on another. */
  average?: Spread;
  /** Over the tasks that all settings ran; absent where there is none. */
  costs?: Costs;
  /** The same, each task's relative to the reference's on that task; absent where the reference did not run. */
  relativeCosts?: Costs;
  /** Highest of all runs, bytes. */
  peakMemory: number;
}

/** Which setting does best on a task by one metric. */
export interface BestScore {
  task: string;
  metric: string;
  best: "highest" | "lowest";
  label: string;
}

/** All numbers of a comparison: tables, pages and files show them and compute none. */
export interface Comparison {
  runs: readonly ComparedRun[];
  tasks: string[];
  /** What each task's scores were measured on; no two have one name. */
  data: Record<string, ScoredData>;
  /** Tasks that all settings ran: costs are averaged over them. */
  sharedTasks: string[];
  rows: ComparisonRow[];
  best: BestScore[];
  /** Label of the setting that relative costs are relative to. */
  reference?: string;
}

/** Mean ± standard deviation over seeds, average over tasks, best settings and costs; one row for each label. */
export function compareRuns(labelled: readonly LabelledRun[]): Comparison {
  const runs = withTasks(labelled);
  const byLabel = grouped(runs, ({ label }) => label);
  const byTask = grouped(runs, ({ task }) => task);
  const tasks = [...byTask.keys()];
  const sharedTasks = tasks.filter((task) => grouped(byTask.get(task)!, ({ label }) => label).size === byLabel.size);
  const costs = new Map([...byLabel].map(([label, of]) => [label, sharedTasks.map((task) => costsOn(task, of))]));
  const reference = referenceAmong(runs);
  const averages = haveOneDirection(runs);
  const rows = [...byLabel].map(([label, of]): ComparisonRow => {
    const own = costs.get(label)!;
    const ofReference = reference === undefined ? undefined : costs.get(reference)!;
    const rank = rankOf(of[0]!);
    const average = averages ? averageScore(of, tasks) : undefined;
    return {
      label,
      method: of[0]!.run.result.method,
      ...(rank !== undefined && { rank }),
      scores: Object.fromEntries(
        [...grouped(of, ({ task }) => task)].map(([task, ofTask]) => [task, spreadsOf(ofTask)]),
      ),
      ...(average && { average }),
      ...(own.length > 0 && { costs: meanCosts(own) }),
      ...(own.length > 0 &&
        ofReference && {
          relativeCosts: meanCosts(own.map((cost, i) => mapCosts((name) => cost[name] / ofReference[i]![name]))),
        }),
      peakMemory: Math.max(...of.map(({ run }) => run.result.peakMemory)),
    };
  });
  const best = tasks.flatMap((task) => bestOn(task, rows));
  return {
    runs,
    tasks,
    data: dataByTask(byTask),
    sharedTasks,
    rows,
    best,
    ...(reference !== undefined && { reference }),
  };
}

/** The rank that a run's method was given or took by default. */
function rankOf({ run }: LabelledRun): number | undefined {
  const { rank } = run.config.method.options;
  return typeof rank === "number" ? rank : undefined;
}

/** The reference method's setting, of several ranks the highest: it is nearest the method as published. */
function referenceAmong(runs: readonly LabelledRun[]): string | undefined {
  const candidates = runs.filter(({ run }) => run.result.method === COST_REFERENCE.method.name);
  const highest = Math.max(...candidates.map((run) => rankOf(run) ?? 0));
  return candidates.find((run) => (rankOf(run) ?? 0) === highest)?.label;
}

/** Metrics of runs of one setting and task. A metric that is no number is written as null: that run is left out of it. */
function spreadsOf(runs: readonly LabelledRun[]): Record<string, Spread> {
  const metrics = Object.keys(runs[0]!.run.result.metrics);
  return Object.fromEntries(
    metrics.flatMap((metric) => {
      const values = runs.flatMap(({ run }) => run.result.metrics[metric] ?? []);
      return values.length > 0 ? [[metric, spreadOf(values)]] : [];
    }),
  );
}

function bestOn(task: string, rows: readonly ComparisonRow[]): BestScore[] {
  const ran = rows.filter(({ scores }) => scores[task]);
  const metrics = new Set(ran.flatMap(({ scores }) => Object.keys(scores[task]!)));
  return [...metrics].map((metric) => {
    const scored = ran.filter(({ scores }) => scores[task]![metric]);
    const { label } = bestOf(metric, scored, ({ scores }) => scores[task]![metric]!.mean)!;
    return { task, metric, best: bestIs(metric), label };
  });
}

/**
 * Metrics whose mean is a task's one number in the average: of MNLI and QQP their pair, of MRPC accuracy (F1 only picks
 * its best epoch), of every other task its first metric.
 */
function averagedMetrics({ task, metrics }: RunResult): string[] {
  const names = Object.keys(metrics);
  if (task === "mnli" || task === "qqp") return names;
  return task === "mrpc" ? ["accuracy"] : names.slice(0, 1);
}

/** Numbers of which one is better high and another low have no mean that says anything. */
function haveOneDirection(runs: readonly LabelledRun[]): boolean {
  return new Set(runs.flatMap(({ run }) => averagedMetrics(run.result).map(bestIs))).size === 1;
}

/** Of each seed that has a score on every task the scores' mean, over those seeds. */
function averageScore(runs: readonly LabelledRun[], tasks: readonly string[]): Spread | undefined {
  const scoreOf = ({ run: { result } }: LabelledRun): number =>
    mean(averagedMetrics(result).map((metric) => result.metrics[metric] ?? Number.NaN));
  const averages = [...grouped(runs, ({ run }) => run.result.seed).values()]
    .filter((ofSeed) => ofSeed.length === tasks.length)
    .map((ofSeed) => mean(ofSeed.map(scoreOf)))
    .filter(Number.isFinite);
  return averages.length > 0 ? spreadOf(averages) : undefined;
}

const mapCosts = (of: (name: keyof Costs) => number): Costs => ({
  trainable: of("trainable"),
  seconds: of("seconds"),
  secondsPerStep: of("secondsPerStep"),
  flops: of("flops"),
});

const meanCosts = (costs: readonly Costs[]): Costs => mapCosts((name) => mean(costs.map((cost) => cost[name])));

/** Mean over a setting's runs of a task. */
function costsOn(task: string, runs: readonly ComparedRun[]): Costs {
  const results = runs.filter((run) => run.task === task).map(({ run }) => run.result);
  return meanCosts(results.map(({ trainable, ...result }) => ({ ...result, trainable: trainable.average })));
}
