import { type ScoredData, scoredData } from "../runs/run-data.ts";
import { bestIs } from "./best.ts";
import { type FreezingOrder, freezingOrders, type OrderAgreement } from "./freezing-order.ts";
import { type OverTasks, overTasks, type SettingCosts } from "./over-tasks.ts";
import { heldOutScore, orderOf } from "./run-study.ts";
import { type ScoredTrial, scoresOf } from "./scored-trial.ts";
import { grouped, mean, type Spread, spreadOf } from "./statistics.ts";
import type { Study, TrialOutcome } from "./study.ts";

export interface TrialRow {
  id: string;
  task: string;
  setting: string;
  values: Readonly<Record<string, string>>;
  /** Purpose of a trial that is not one of those that the study compares. */
  stage?: string | undefined;
  found?: Readonly<Record<string, string>> | undefined;
  seed: number;
  status: TrialOutcome["status"];
  reason?: string | undefined;
  epochs: number;
  metric?: string | undefined;
  /** Best score so far on the examples that choose the epoch. */
  heldOut?: number | undefined;
  /** Lowest loss on those examples, which decides between equal scores. */
  heldOutLoss?: number | undefined;
  scores: Readonly<Record<string, number>>;
  errors: Readonly<Record<string, number>>;
  sameAnswer: Readonly<Record<string, number>>;
  /** Trainable parameters without the head: mean over training, at the start and at the end. */
  trainable?: number | undefined;
  trainableStart?: number | undefined;
  trainableEnd?: number | undefined;
  /** Wall-clock seconds of training, and of the median step. */
  seconds?: number | undefined;
  secondsPerStep?: number | undefined;
  peakMemory?: number | undefined;
  flops?: number | undefined;
  directory: string;
}

/** One setting on one task. Spreads are over the seeds of finished trials. */
export interface SettingRow extends SettingCosts {
  values: Readonly<Record<string, string>>;
  found?: Readonly<Record<string, string>> | undefined;
  trials: Record<TrialOutcome["status"], number>;
  /** Epochs of its furthest trial. */
  epochs: number;
  /** Score on the examples that choose the epoch. For unfinished settings, over the epochs so far. */
  heldOut?: Spread | undefined;
  heldOutLoss?: number | undefined;
  scores: Readonly<Record<string, Spread>>;
  score?: Spread | undefined;
}

/** Main effect of a factor: for each level, the mean over settings that have it, spread over seeds. */
export interface MainEffect {
  factor: string;
  levels: { level: string; score: Spread; configurations: number }[];
}

export interface Interaction {
  factors: readonly [string, string];
  cells: { levels: readonly [string, string]; score: Spread }[];
}

export interface TaskResults {
  task: string;
  data: ScoredData;
  metric: string;
  direction: "highest" | "lowest";
  /** Whether scores are on data that had no part in any choice. */
  reportedSeparately: boolean;
  /** Mean standard error of a score, estimated from the number of examples, and the score of the best constant answer. */
  error?: number;
  sameAnswer?: number;
  rows: SettingRow[];
  /**
   * The setting with the best score on the examples that choose settings, among those whose trials all finished. The lower loss decides
   * between equal scores.
   */
  best?: string;
  ties: string[];
  /** The second-best setting, and how much the best one's score differs, by seed. */
  next?: { setting: string; difference: Spread | undefined };
  effects: MainEffect[];
  interactions: Interaction[];
}

/** All results of a study. Tables, pages and files show these numbers and compute none. */
export interface StudyResults {
  title: string;
  about?: string | undefined;
  notes: readonly string[];
  tasks: TaskResults[];
  settings: OverTasks;
  trials: TrialRow[];
  freezing: { orders: FreezingOrder[]; agreements: OrderAgreement[] };
}

/** The parts of a study that its numbers depend on. Separate runs have few of them. */
export type Asked = Pick<StudyResults, "title" | "about" | "notes"> &
  Partial<Pick<Study, "factors" | "metric" | "direction">>;

export function studyResults(asked: Asked, trials: readonly ScoredTrial[]): StudyResults {
  const { title, about, notes } = asked;
  const rows = trials.map((trial) => trialRow(trial, asked));
  const compared = trials.flatMap((trial, i) => (trial.stage === undefined ? [{ trial, row: rows[i]! }] : []));
  const tasks = [...grouped(compared, ({ row }) => row.task)].flatMap(
    ([task, of]) => taskResults(task, of, asked) ?? [],
  );
  const settings = overTasks(
    tasks,
    compared.map(({ trial }) => trial),
  );
  return {
    title,
    about,
    notes,
    tasks,
    settings,
    trials: rows,
    freezing: freezingOrders(compared.map(({ trial }) => trial)),
  };
}

function trialRow(trial: ScoredTrial, asked: Asked): TrialRow {
  const { task, setting, values, stage, found, seed, status, reason, epochs, records, directory } = trial;
  const score = heldOutScore(trial, asked);
  const result = records?.result;
  return {
    id: directory.split(/[\\/]/).at(-1)!,
    task,
    setting,
    values,
    stage,
    found,
    seed,
    status,
    reason,
    epochs,
    metric: score?.metric,
    heldOut: score?.score,
    heldOutLoss: score?.loss,
    scores: status === "finished" ? scoresOf(trial) : {},
    errors: (trial.reported ? trial.reported.errors : result?.errors) ?? {},
    sameAnswer: trial.reported?.sameAnswer ?? {},
    trainable: result?.trainable.average,
    trainableStart: result?.trainable.start,
    trainableEnd: result?.trainable.end,
    seconds: result?.seconds,
    secondsPerStep: result?.secondsPerStep,
    peakMemory: result?.peakMemory,
    flops: result?.flops,
    directory,
  };
}

function taskResults(
  task: string,
  of: readonly { trial: ScoredTrial; row: TrialRow }[],
  asked: Asked,
): TaskResults | undefined {
  const all = of.map(({ row }) => row);
  const began = of.flatMap(({ trial: { records } }) => records ?? []);
  const metric = asked.metric ?? all.flatMap((row) => row.metric ?? Object.keys(row.scores)[0] ?? [])[0];
  if (metric === undefined) return undefined;
  const finished = of.filter(({ trial }) => trial.status === "finished");
  const reportedSeparately = finished.length > 0 && finished.every(({ trial }) => trial.apart);
  const scored = finished.flatMap(({ row }) => (metric in row.scores ? { ...row, score: row.scores[metric]! } : []));
  const rows = [...grouped(all, ({ setting }) => setting)].map(([setting, own]) => settingRow(setting, own, metric));
  const order = orderOf(asked, metric);
  // On the same examples, the score is that of the kept adapter.
  const chosenBy = ({ score, heldOut }: SettingRow): number => (reportedSeparately ? heldOut : score)!.mean;
  const whole = rows.filter(
    (row) => row.score && (!reportedSeparately || row.heldOut) && row.trials.finished === countOf(row.trials),
  );
  const [first, second, ...others] = whole.toSorted(
    (a, b) => order(chosenBy(a), chosenBy(b)) || (a.heldOutLoss ?? 0) - (b.heldOutLoss ?? 0),
  );
  const ties = [second, ...others].filter((row) => row && first && chosenBy(row) === chosenBy(first));
  const factors = factorsOf(all, asked);
  const errors = scored.flatMap((row) => row.errors[metric] ?? []);
  const [sameAnswer] = scored.flatMap((row) => row.sameAnswer[metric] ?? []);
  return {
    task,
    data: scoredData(began),
    metric,
    direction: asked.direction ?? bestIs(metric),
    reportedSeparately,
    ...(errors.length > 0 && { error: mean(errors) }),
    ...(sameAnswer !== undefined && { sameAnswer }),
    rows,
    ...(first && { best: first.setting }),
    ties: ties.map((row) => row!.setting),
    ...(first && second && { next: { setting: second.setting, difference: differenceOf(scored, first, second) } }),
    effects: factors.map((factor) => mainEffect(factor, scored, asked)),
    interactions: factors.flatMap((a, i) => factors.slice(i + 1).map((b) => interaction(a, b, scored, asked))),
  };
}

const countOf = (trials: SettingRow["trials"]): number => Object.values(trials).reduce((sum, count) => sum + count, 0);

type Scored = TrialRow & { score: number };

/** Factors with several levels among a task's trials. */
function factorsOf(rows: readonly TrialRow[], { factors }: Asked): string[] {
  const names = factors?.map(({ name }) => name) ?? [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  return names.filter((name) => new Set(rows.flatMap(({ values }) => values[name] ?? [])).size > 1);
}

function settingRow(setting: string, rows: readonly TrialRow[], metric: string): SettingRow {
  const finished = rows.filter(({ status }) => status === "finished");
  const count = (status: TrialOutcome["status"]): number => rows.filter((row) => row.status === status).length;
  const spread = (
    value: (row: TrialRow) => number | undefined,
    of: readonly TrialRow[] = finished,
  ): Spread | undefined => {
    const values = of.flatMap((row) => value(row) ?? []);
    return values.length > 0 ? spreadOf(values) : undefined;
  };
  // Pruned trials have the score of their epochs so far.
  const begun = finished.length > 0 ? finished : rows;
  const metrics = [...new Set(finished.flatMap(({ scores }) => Object.keys(scores)))];
  const [{ values, found }] = rows as [TrialRow];
  return {
    setting,
    values,
    found,
    trials: { finished: finished.length, pruned: count("pruned"), failed: count("failed"), open: count("open") },
    epochs: Math.max(...rows.map(({ epochs }) => epochs)),
    heldOut: spread((row) => row.heldOut, begun),
    heldOutLoss: spread((row) => row.heldOutLoss, begun)?.mean,
    scores: Object.fromEntries(metrics.map((name) => [name, spread(({ scores }) => scores[name])!])),
    score: spread(({ scores }) => scores[metric]),
    trainable: spread((row) => row.trainable),
    seconds: spread((row) => row.seconds),
    secondsPerStep: spread((row) => row.secondsPerStep),
    flops: spread((row) => row.flops),
    peakMemory: finished.length > 0 ? Math.max(...finished.map((row) => row.peakMemory ?? 0)) : undefined,
  };
}

/** Mean over the rows of each seed, then spread over seeds. */
function overSeeds(rows: readonly Scored[]): Spread | undefined {
  const bySeed = [...grouped(rows, ({ seed }) => seed).values()];
  return bySeed.length > 0 ? spreadOf(bySeed.map((of) => mean(of.map(({ score }) => score)))) : undefined;
}

function differenceOf(rows: readonly Scored[], a: SettingRow, b: SettingRow): Spread | undefined {
  const differences = [...grouped(rows, ({ seed }) => seed).values()].flatMap((of) => {
    const [first, second] = [a, b].map(({ setting }) => of.find((row) => row.setting === setting));
    return first && second ? [first.score - second.score] : [];
  });
  return differences.length > 0 ? spreadOf(differences) : undefined;
}

function mainEffect(factor: string, rows: readonly Scored[], asked: Asked): MainEffect {
  const levels = levelsOf(factor, rows, asked).flatMap((level) => {
    const of = rows.filter(({ values }) => values[factor] === level);
    const score = overSeeds(of);
    return score ? [{ level, score, configurations: new Set(of.map(({ setting }) => setting)).size }] : [];
  });
  return { factor, levels };
}

function interaction(a: string, b: string, rows: readonly Scored[], asked: Asked): Interaction {
  const cells = levelsOf(a, rows, asked).flatMap((first) =>
    levelsOf(b, rows, asked).flatMap((second) => {
      const score = overSeeds(rows.filter(({ values }) => values[a] === first && values[b] === second));
      return score ? [{ levels: [first, second] as const, score }] : [];
    }),
  );
  return { factors: [a, b], cells };
}

/** Levels of a factor among the rows, in the study's order; levels drawn from a range are sorted by value. */
function levelsOf(factor: string, rows: readonly Pick<TrialRow, "values">[], { factors }: Asked): string[] {
  const present = [...new Set(rows.flatMap(({ values }) => values[factor] ?? []))];
  const listed = factors?.find(({ name }) => name === factor)?.levels?.map(({ label }) => label);
  if (listed) return listed.filter((label) => present.includes(label));
  return present.toSorted((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1));
}
