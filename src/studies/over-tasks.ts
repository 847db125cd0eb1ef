import { COST_REFERENCE } from "../methods/methods.ts";
import { bestIs } from "./best.ts";
import { type ScoredTrial, scoresOf } from "./scored-trial.ts";
import { grouped, mean, type Spread, spreadOf } from "./statistics.ts";

/** Training costs of a setting on one task, over the seeds of finished trials. */
export interface SettingCosts {
  setting: string;
  /** Trainable parameters, averaged over training, without the head. */
  trainable?: Spread | undefined;
  seconds?: Spread | undefined;
  secondsPerStep?: Spread | undefined;
  flops?: Spread | undefined;
  peakMemory?: number | undefined;
}

const COSTS = ["trainable", "seconds", "secondsPerStep", "flops"] as const;

export type Costs = Record<(typeof COSTS)[number], number>;

export interface SettingOverTasks {
  setting: string;
  /** Mean of the tasks' scores; undefined if a task is missing, or if tasks disagree on whether high is better. */
  average?: Spread | undefined;
  /** Mean over the tasks that all settings finished (settings that finished none are ignored); undefined if there is none. */
  costs?: Costs | undefined;
  /** Costs relative to the reference's on each task; undefined if the reference did not run. */
  relativeCosts?: Costs | undefined;
  /** Maximum over all trials, in bytes. */
  peakMemory?: number | undefined;
}

export interface OverTasks {
  rows: SettingOverTasks[];
  /** Tasks that all settings finished. Costs are averaged over them. */
  sharedTasks: string[];
  reference?: string | undefined;
}

export function overTasks(
  tasks: readonly { task: string; rows: readonly SettingCosts[] }[],
  trials: readonly ScoredTrial[],
): OverTasks {
  const finished = trials.filter(({ status }) => status === "finished");
  const settings = [...new Set(trials.map(({ setting }) => setting))];
  const costsBy = ({ rows }: (typeof tasks)[number], setting: string): Costs | undefined => {
    const row = rows.find((each) => each.setting === setting);
    return row && costsOf(row);
  };
  const begun = new Set(finished.map(({ setting }) => setting));
  const shared = tasks.filter((task) => [...begun].every((setting) => costsBy(task, setting)));
  const costsOn = (setting: string): Costs[] => shared.flatMap((task) => costsBy(task, setting) ?? []);
  const reference = referenceAmong(finished);
  const ofReference = reference === undefined ? undefined : costsOn(reference);
  const averages = haveOneDirection(finished);
  const rows = settings.map((setting): SettingOverTasks => {
    const own = costsOn(setting);
    const relative = ofReference && own.map((cost, i) => mapCosts((name) => cost[name] / ofReference[i]![name]));
    const ofSetting = tasks.flatMap(({ rows }) => rows.filter((row) => row.setting === setting));
    const memory = ofSetting.flatMap((row) => row.peakMemory ?? []);
    return {
      setting,
      average: averages
        ? averageScore(
            finished.filter((trial) => trial.setting === setting),
            tasks.length,
          )
        : undefined,
      costs: meanCosts(own),
      relativeCosts: relative && meanCosts(relative),
      peakMemory: memory.length > 0 ? Math.max(...memory) : undefined,
    };
  });
  return { rows, sharedTasks: shared.map(({ task }) => task), reference };
}

const mapCosts = (of: (name: keyof Costs) => number): Costs =>
  Object.fromEntries(COSTS.map((name) => [name, of(name)])) as Costs;

const meanCosts = (costs: readonly Costs[]): Costs | undefined =>
  costs.length > 0 ? mapCosts((name) => mean(costs.map((cost) => cost[name]))) : undefined;

const costsOf = (row: SettingCosts): Costs | undefined =>
  COSTS.every((name) => row[name]) ? mapCosts((name) => row[name]!.mean) : undefined;

/** The setting of the reference method with the highest rank, which is nearest to the published method. */
function referenceAmong(trials: readonly ScoredTrial[]): string | undefined {
  const candidates = trials.filter(({ method }) => method === COST_REFERENCE.method.name);
  return candidates.toSorted((a, b) => (b.rank ?? 0) - (a.rank ?? 0))[0]?.setting;
}

/**
 * Metrics whose mean represents a task in the average: both for MNLI and QQP, accuracy for MRPC (F1 only picks its best epoch),
 * and the first metric for other tasks.
 */
function averagedMetrics({ records }: ScoredTrial): string[] {
  const { task, metrics } = records!.result!;
  const names = Object.keys(metrics);
  if (task === "mnli" || task === "qqp") return names;
  return task === "mrpc" ? ["accuracy"] : names.slice(0, 1);
}

/** Metrics with opposite directions have no meaningful mean. */
function haveOneDirection(trials: readonly ScoredTrial[]): boolean {
  return new Set(trials.flatMap((trial) => averagedMetrics(trial).map(bestIs))).size === 1;
}

/** Spread over seeds of the mean score over tasks. Seeds that miss a task are left out. */
function averageScore(trials: readonly ScoredTrial[], tasks: number): Spread | undefined {
  const scoreOf = (trial: ScoredTrial): number => {
    const scores = scoresOf(trial);
    return mean(averagedMetrics(trial).map((metric) => scores[metric] ?? Number.NaN));
  };
  const averages = [...grouped(trials, ({ seed }) => seed).values()]
    .filter((ofSeed) => new Set(ofSeed.map(({ task }) => task)).size === tasks)
    .map((ofSeed) => mean(ofSeed.map(scoreOf)))
    .filter(Number.isFinite);
  return averages.length > 0 ? spreadOf(averages) : undefined;
}
