import { basename } from "node:path";
import { glueTaskName } from "../tasks/glue.ts";
import { bestIs } from "./best.ts";
import { type FreezingOrder, freezingOrders, type OrderAgreement } from "./freezing-order.ts";
import { heldOutScore, orderOf, type StudyOutcome, type TrialOutcome } from "./run-study.ts";
import { grouped, mean, type Spread, spreadOf } from "./statistics.ts";
import type { Study } from "./study-file.ts";
import type { Configuration, StudyPlan } from "./study-plan.ts";

/** One trial, as tables list it. */
export interface TrialRow {
  id: string;
  task: string;
  configuration: string;
  values: Readonly<Record<string, string>>;
  seed: number;
  status: TrialOutcome["status"];
  reason?: string | undefined;
  epochs: number;
  metric?: string | undefined;
  /** Best score on the held-out examples so far. */
  heldOut?: number | undefined;
  /** Lowest loss there: of equal scores it decides. */
  heldOutLoss?: number | undefined;
  /** The adapter's score on data that played no part in any choice. */
  reported?: number | undefined;
  /** Trainable parameters, averaged over training, the head's not counted. */
  trainable?: number | undefined;
  seconds?: number | undefined;
  peakMemory?: number | undefined;
  flops?: number | undefined;
  directory: string;
}

/** One configuration on one task; spreads are over the seeds of finished trials. */
export interface ConfigurationRow {
  label: string;
  values: Readonly<Record<string, string>>;
  trials: Record<TrialOutcome["status"], number>;
  /** Epochs of its furthest trial. */
  epochs: number;
  heldOut?: Spread;
  /** What tables and pictures show as the score. */
  score?: Spread;
  trainable?: Spread;
  seconds?: Spread;
  peakMemory?: number;
}

/** What a factor does by itself: for each of its levels the mean over configurations that have it, spread over seeds. */
export interface MainEffect {
  factor: string;
  levels: { level: string; score: Spread; configurations: number }[];
}

/** What two factors do together. */
export interface Interaction {
  factors: readonly [string, string];
  cells: { levels: readonly [string, string]; score: Spread }[];
}

/** A study's numbers on one task. */
export interface TaskResults {
  task: string;
  metric: string;
  best: "highest" | "lowest";
  /** Whether scores are of data that played no part in any choice. */
  reportedSeparately: boolean;
  rows: ConfigurationRow[];
  /** Label of the configuration that is best on the held-out examples, among those whose trials all finished. */
  chosen?: string;
  /** The next best, and by how much its score differs, seed by seed. */
  next?: { label: string; difference: Spread };
  effects: MainEffect[];
  interactions: Interaction[];
}

/** All numbers of a study: tables, pages and files show them and compute none. */
export interface StudyResults {
  title: string;
  about?: string | undefined;
  notes: readonly string[];
  tasks: TaskResults[];
  trials: TrialRow[];
  freezing: { orders: FreezingOrder[]; agreements: OrderAgreement[] };
}

/** The numbers of what a study's trials have come to. */
export function studyResults({ study, configurations, notes }: StudyPlan, { trials }: StudyOutcome): StudyResults {
  const rows = trials.map((outcome) => trialRow(outcome, configurations, study));
  const byTask = grouped(
    trials.map((outcome, i) => ({ outcome, row: rows[i]! })),
    ({ row }) => row.task,
  );
  return {
    title: study.title,
    about: study.about,
    notes,
    tasks: [...byTask].flatMap(
      ([task, of]) =>
        taskResults(
          task,
          of.map(({ row }) => row),
          study,
        ) ?? [],
    ),
    trials: rows,
    freezing: freezingOrders(configurations, trials),
  };
}

/** What a trial's examples are of. */
function taskOf({ task, train, dataset, datasetConfig }: Readonly<Record<string, unknown>>): string {
  if (task !== undefined) return glueTaskName(String(task));
  if (train !== undefined) return basename(String(train));
  return [dataset, datasetConfig].filter((part) => part !== undefined).join(", ");
}

function trialRow(outcome: TrialOutcome, configurations: readonly Configuration[], study: Study): TrialRow {
  const { trial, status, reason, epochs, records, reported, directory } = outcome;
  const { label, values } = configurations[trial.configuration]!;
  const score = heldOutScore(outcome, study);
  const result = records?.result;
  return {
    id: trial.id,
    task: taskOf(trial.config),
    configuration: label,
    values,
    seed: trial.seed,
    status,
    reason,
    epochs,
    metric: score?.metric,
    heldOut: score?.score,
    heldOutLoss: score?.loss,
    reported: score && reported?.[score.metric],
    trainable: result?.trainable.average,
    seconds: result?.seconds,
    peakMemory: result?.peakMemory,
    flops: result?.flops,
    directory,
  };
}

const scoreOf = ({ reported, heldOut }: TrialRow): number | undefined => reported ?? heldOut;

function taskResults(task: string, all: readonly TrialRow[], study: Study): TaskResults | undefined {
  const metric = all.find((row) => row.metric !== undefined)?.metric;
  if (metric === undefined) return undefined;
  const finished = all.filter((row) => row.status === "finished" && scoreOf(row) !== undefined);
  const factors = factorsOf(all, study);
  const rows = [...grouped(all, ({ configuration }) => configuration)].map(([label, of]) =>
    configurationRow(label, of),
  );
  const order = orderOf(study, metric);
  const whole = rows.filter(({ trials, heldOut }) => trials.finished === study.seeds.length && heldOut);
  const lossOf = ({ label }: ConfigurationRow): number =>
    mean(finished.filter(({ configuration }) => configuration === label).map((row) => row.heldOutLoss!));
  const [first, second] = whole.toSorted((a, b) => order(a.heldOut!.mean, b.heldOut!.mean) || lossOf(a) - lossOf(b));
  const next = first &&
    second && { label: second.label, difference: differenceOf(finished, first.label, second.label) };
  return {
    task,
    metric,
    best: study.direction ?? bestIs(metric),
    reportedSeparately: finished.length > 0 && finished.every(({ reported }) => reported !== undefined),
    rows,
    ...(first && { chosen: first.label }),
    ...(next && { next }),
    effects: factors.map((factor) => mainEffect(factor, finished, study)),
    interactions: factors.flatMap((a, i) => factors.slice(i + 1).map((b) => interaction(a, b, finished, study))),
  };
}

/** Factors of which a task's trials have several levels. */
function factorsOf(rows: readonly TrialRow[], { factors }: Study): string[] {
  return factors
    .map(({ name }) => name)
    .filter((name) => new Set(rows.flatMap(({ values }) => values[name] ?? [])).size > 1);
}

function configurationRow(label: string, rows: readonly TrialRow[]): ConfigurationRow {
  const finished = rows.filter(({ status }) => status === "finished");
  const count = (status: TrialOutcome["status"]): number => rows.filter((row) => row.status === status).length;
  const spread = (of: readonly TrialRow[], value: (row: TrialRow) => number | undefined): Spread | undefined => {
    const values = of.flatMap((row) => value(row) ?? []);
    return values.length > 0 ? spreadOf(values) : undefined;
  };
  // Of pruned trials the score is that of the epochs that they had.
  const heldOut = spread(finished.length > 0 ? finished : rows, (row) => row.heldOut);
  const score = spread(finished, scoreOf);
  const trainable = spread(finished, (row) => row.trainable);
  const seconds = spread(finished, (row) => row.seconds);
  return {
    label,
    values: rows[0]!.values,
    trials: { finished: finished.length, pruned: count("pruned"), failed: count("failed"), open: count("open") },
    epochs: Math.max(...rows.map(({ epochs }) => epochs)),
    ...(heldOut && { heldOut }),
    ...(score && { score }),
    ...(trainable && { trainable }),
    ...(seconds && { seconds }),
    ...(finished.length > 0 && { peakMemory: Math.max(...finished.map((row) => row.peakMemory ?? 0)) }),
  };
}

/** Mean over the rows of each seed, then spread over seeds. */
function overSeeds(rows: readonly TrialRow[]): Spread | undefined {
  const bySeed = [...grouped(rows, ({ seed }) => seed).values()];
  return bySeed.length > 0 ? spreadOf(bySeed.map((of) => mean(of.map((row) => scoreOf(row)!)))) : undefined;
}

function differenceOf(rows: readonly TrialRow[], a: string, b: string): Spread {
  const bySeed = grouped(rows, ({ seed }) => seed);
  return spreadOf(
    [...bySeed.values()].flatMap((of) => {
      const [first, second] = [a, b].map((label) => of.find(({ configuration }) => configuration === label));
      return first && second ? [scoreOf(first)! - scoreOf(second)!] : [];
    }),
  );
}

function mainEffect(factor: string, rows: readonly TrialRow[], study: Study): MainEffect {
  const levels = levelsOf(factor, rows, study).flatMap((level) => {
    const of = rows.filter(({ values }) => values[factor] === level);
    const score = overSeeds(of);
    return score ? [{ level, score, configurations: new Set(of.map(({ configuration }) => configuration)).size }] : [];
  });
  return { factor, levels };
}

function interaction(a: string, b: string, rows: readonly TrialRow[], study: Study): Interaction {
  const cells = levelsOf(a, rows, study).flatMap((first) =>
    levelsOf(b, rows, study).flatMap((second) => {
      const score = overSeeds(rows.filter(({ values }) => values[a] === first && values[b] === second));
      return score ? [{ levels: [first, second] as const, score }] : [];
    }),
  );
  return { factors: [a, b], cells };
}

/** Levels of a factor that rows have, in the order of the study; those drawn from a range by size. */
function levelsOf(factor: string, rows: readonly Pick<TrialRow, "values">[], study: Pick<Study, "factors">): string[] {
  const present = [...new Set(rows.flatMap(({ values }) => values[factor] ?? []))];
  const listed = study.factors.find(({ name }) => name === factor)?.levels?.map(({ label }) => label);
  if (listed) return listed.filter((label) => present.includes(label));
  return present.toSorted((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
}
