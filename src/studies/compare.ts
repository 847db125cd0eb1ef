import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { hasCheckpoint } from "../runs/checkpoint-folder.ts";
import { readFinishedRun } from "../runs/read-run.ts";
import type { LabelledRun } from "./compared-data.ts";
import {
  bestPlace,
  type ComparisonOptions,
  checkFolder,
  nextPlace,
  type Plan,
  runFolder,
  type Setting,
  settingName,
  type TrialScore,
  trialAt,
} from "./plan.ts";

/** How to do one run: `resume` goes on from its checkpoint, else what is left of an old try is replaced. */
export type Runner = (config: Readonly<Record<string, unknown>>, how: { resume: boolean }) => Promise<RunEnd>;

/** How a run ended; `failed` says why. */
export type RunEnd = "finished" | "interrupted" | { failed: string };

/** A learning rate that `--search` tried for a setting; without a score where the trial failed. */
export interface Trial extends Partial<TrialScore> {
  directory: string;
  learningRate: number;
  headLearningRate: number;
}

export interface SettingSearch {
  task: string;
  method: string;
  rank?: number;
  trials: Trial[];
  /** The best trial's; absent where all failed. */
  chosen?: Trial;
}

export interface ComparisonOutcome {
  runs: LabelledRun[];
  failed: { directory: string; reason: string }[];
  searches: SettingSearch[];
  interrupted: boolean;
}

/**
 * Does all runs of a plan, one after another: finished ones are skipped, unfinished ones resumed, and one that fails
 * does not keep the rest from running.
 */
export async function runComparison(
  { settings }: Plan,
  comparison: ComparisonOptions,
  run: Runner,
  report: (line: string) => void,
): Promise<ComparisonOutcome> {
  const { output, seeds, search } = comparison;
  const outcome: ComparisonOutcome = { runs: [], failed: [], searches: [], interrupted: false };
  const total = settings.length * (seeds.length + (search?.trials ?? 0));
  let count = 0;

  /** @returns whether the folder holds a finished run now */
  const finish = async (directory: string, config: Readonly<Record<string, unknown>>): Promise<boolean> => {
    if (outcome.interrupted) return false;
    count++;
    const resume = await hasCheckpoint(directory);
    if (existsSync(join(directory, "result.json"))) {
      report(`[${count}/${total}] ${directory}: finished before`);
      return true;
    }
    report(`[${count}/${total}] ${directory}${resume ? ": going on with it" : ""}`);
    const end = await run({ ...config, output: directory }, { resume });
    if (end === "interrupted") outcome.interrupted = true;
    else if (end !== "finished") {
      outcome.failed.push({ directory, reason: end.failed });
      report(`${directory} failed: ${end.failed}; going on with the others`);
    }
    return end === "finished";
  };

  for (const setting of settings) {
    let rates: Pick<Trial, "learningRate" | "headLearningRate"> | undefined;
    if (search) {
      const found = await searchRates(setting, comparison, finish);
      if (outcome.interrupted) return outcome;
      outcome.searches.push(found);
      const { chosen } = found;
      if (!chosen) {
        outcome.failed.push({
          directory: join(output, setting.task, settingName(setting)),
          reason: "no learning-rate trial finished",
        });
        count += seeds.length;
        continue;
      }
      report(`${setting.task}, ${settingName(setting)}: chose learning rate ${chosen.learningRate}`);
      rates = { learningRate: chosen.learningRate, headLearningRate: chosen.headLearningRate };
    }
    for (const seed of seeds) {
      const directory = runFolder(output, setting, seed);
      const config = { ...setting.config, ...rates, seed };
      try {
        // Another search, of more trials or fewer, may have chosen another rate.
        if (search) await checkFolder(directory, config);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        outcome.failed.push({ directory, reason: error.message });
        count++;
        continue;
      }
      if (await finish(directory, config)) {
        outcome.runs.push({ label: settingName(setting), run: await readFinishedRun(directory) });
      }
      if (outcome.interrupted) return outcome;
    }
  }
  return outcome;
}

async function searchRates(
  setting: Setting,
  comparison: ComparisonOptions,
  finish: (directory: string, config: Readonly<Record<string, unknown>>) => Promise<boolean>,
): Promise<SettingSearch> {
  const { task, method, rank } = setting;
  const trials = new Map<number, Trial>();
  while (trials.size < comparison.search!.trials) {
    const place = nextPlace(trials);
    const { directory, config } = trialAt(setting, comparison, place);
    const { learningRate, headLearningRate } = config;
    const finished = await finish(directory, config);
    trials.set(place, { directory, learningRate, headLearningRate, ...(finished && (await readScore(directory))) });
  }
  const chosen = trials.get(bestPlace(trials) ?? Number.NaN);
  return { task, method, ...(rank !== undefined && { rank }), trials: [...trials.values()], ...(chosen && { chosen }) };
}

async function readScore(directory: string): Promise<TrialScore> {
  const { result, evaluations } = await readFinishedRun(directory);
  const trained = evaluations.filter(({ epoch }) => epoch > 0);
  const [metric, score] = Object.entries(result.metrics)[0]!;
  return { metric, score, loss: Math.min(...trained.map(({ loss }) => loss)) };
}
