import { UserError } from "../errors.ts";
import { flatOptions } from "../preparation/run-options-node.ts";
import type { FinishedRun, RunRecords } from "../runs/read-run.ts";
import { dataIdentity, scoredData, sourceName } from "../runs/run-data.ts";
import { type Factor, labelOf, shown, type Values } from "./factors.ts";
import { isApart } from "./reported-scores.ts";
import { grouped } from "./statistics.ts";
import type { StudyOutcome, StudyPlan, TrialOutcome } from "./study.ts";

export interface ScoredTrial extends Pick<TrialOutcome, "status" | "reason" | "epochs" | "directory" | "reported"> {
  /** Name of its data. Scores of one name are comparable. */
  task: string;
  /** Name of its setting. Trials of one setting and task differ only in their seed. */
  setting: string;
  values: Values;
  method: string;
  rank: number | undefined;
  /** Purpose of a trial that is not one of those that the study compares. */
  stage?: string | undefined;
  found?: Values | undefined;
  seed: number;
  /** Whether reported scores are on data that had no part in any choice. */
  apart: boolean;
  records?: RunRecords | undefined;
}

/**
 * Reported metrics of a finished trial. NaN is written as null and left out. If the run's own evaluation is reported, the scores of its
 * answers are added, because generation may use another number format.
 */
export function scoresOf({
  apart,
  reported,
  records,
}: Pick<ScoredTrial, "apart" | "reported" | "records">): Record<string, number> {
  const own = records?.result?.metrics;
  const all: Record<string, number | null> = apart ? reported!.metrics : { ...reported?.metrics, ...own };
  return Object.fromEntries(Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [[name, value]])));
}

const DATA = ["task", "data", "train", "validation", "validationSplit", "dataset", "datasetConfig"];

export function trialsOfStudy({ study }: StudyPlan, { trials }: StudyOutcome): ScoredTrial[] {
  const tasks = named(trials.map(({ configuration: { source } }) => [sourceName(source), JSON.stringify(source)]));
  const told = study.factors.filter((factor) => isToldByData(factor, trials, tasks)).map(({ name }) => name);
  return trials.map(({ trial, configuration, ...outcome }, i): ScoredTrial => {
    const { values, stage, found } = configuration;
    const own = Object.fromEntries(Object.entries(values).filter(([name]) => !told.includes(name)));
    const { method, rank } = trial.identity.options;
    return {
      ...outcome,
      task: tasks[i]!,
      setting: labelOf(own) || String(method),
      values: own,
      method: String(method),
      rank: rankOf(rank),
      stage,
      found,
      seed: trial.seed,
      apart: outcome.reported !== undefined && isApart(trial.reported),
    };
  });
}

/** Whether a factor sets the data, and the data's name already shows its level. */
function isToldByData(
  { name, levels = [] }: Factor,
  trials: readonly TrialOutcome[],
  tasks: readonly string[],
): boolean {
  if (![name, ...levels.flatMap(({ options }) => Object.keys(options))].some((option) => DATA.includes(option)))
    return false;
  const byTask = grouped(trials.keys(), (i) => tasks[i]);
  return [...byTask.values()].every((of) => new Set(of.map((i) => trials[i]!.configuration.values[name])).size === 1);
}

/**
 * Finished runs as trials. A run is named by its method and by the options in which it differs from runs of that method on the same
 * data. Runs on other data, or on another split, are separate tasks. If a run's seed draws its validation examples, settings share a task
 * only if they have the same draws.
 */
export function trialsOfRuns(runs: readonly FinishedRun[]): ScoredTrial[] {
  const all = labelled(runs).map(({ run, values }) => {
    const { examples, draw } = dataIdentity(run);
    const { name } = scoredData([run]);
    return { run, values, setting: labelOf(values), name, examples, draw };
  });
  const bySetting = grouped(all, ({ name, setting, examples }) => JSON.stringify([name, setting, examples]));
  const subjects = all.map(({ name, setting, examples }) => {
    const draws = bySetting.get(JSON.stringify([name, setting, examples]))!.map(({ draw }) => draw);
    return [name, JSON.stringify([examples, [...new Set(draws)].sort()])] as const;
  });
  const tasks = named(subjects);
  return all.map(({ run, values, setting }, i): ScoredTrial => {
    const { result, config, directory } = run;
    return {
      task: tasks[i]!,
      setting,
      values,
      method: result.method,
      rank: rankOf(config.method.options.rank),
      seed: result.seed,
      apart: false,
      status: "finished",
      epochs: result.epochs,
      directory,
      records: run,
    };
  });
}

const rankOf = (rank: unknown): number | undefined => (typeof rank === "number" ? rank : undefined);

/** Names of data; numbered if several have one name, such as `tickets.csv (1)`. */
function named(data: readonly (readonly [name: string, identity: string])[]): string[] {
  const byName = grouped(data, ([name]) => name);
  return data.map(([name, identity]) => {
    const all = [...new Set(byName.get(name)!.map(([, each]) => each))];
    return all.length === 1 ? name : `${name} (${all.indexOf(identity) + 1})`;
  });
}

function labelled(runs: readonly FinishedRun[]): { run: FinishedRun; values: Values }[] {
  const known = runs.map((run) => ({ run, method: run.result.method, options: flatOptions(run.config) }));
  const varying = new Map(
    [...grouped(known, ({ method }) => method)].map(([method, ofMethod]) => {
      const options = [...new Set(ofMethod.flatMap(({ options }) => Object.keys(options)))];
      const differs = (of: typeof known, option: string) =>
        new Set(of.map(({ options }) => JSON.stringify(options[option]))).size > 1;
      const data = [...grouped(ofMethod, ({ run }) => dataIdentity(run).examples).values()];
      return [
        method,
        options.filter((option) => !NO_SETTING.includes(option) && data.some((ofData) => differs(ofData, option))),
      ];
    }),
  );
  return known.map(({ run, method, options }) => {
    const own = varying.get(method)!.map((option) => [option, shown(options[option] ?? "default")]);
    return { run, values: { method, ...Object.fromEntries(own) } };
  });
}

/** Options that are no part of a setting: those of a single run, and the data, which separates runs anyway. */
const NO_SETTING = ["seed", "output", ...DATA];

/**
 * Checks that the runs are comparable: some task must have runs of every method, and more than one run.
 * @throws {UserError} naming the methods and tasks otherwise
 */
export function checkComparable(runs: readonly FinishedRun[]): void {
  const methods = new Set(runs.map(({ result }) => result.method));
  const tasks = grouped(runs, ({ result }) => result.task);
  const shared = [...tasks.values()].some(
    (of) => of.length > 1 && new Set(of.map(({ result }) => result.method)).size === methods.size,
  );
  if (shared) return;
  const ran = runs.map(({ directory, result }) => `${result.method} on ${result.task} in ${directory}`);
  throw new UserError(
    `these runs can't be compared, because no task was run by all: ${ran.join("; ")}; give runs of the same task`,
  );
}
