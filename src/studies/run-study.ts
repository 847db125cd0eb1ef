import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJsonFile } from "../checkpoints/json-file-node.ts";
import { UserError } from "../errors.ts";
import { hasCheckpoint } from "../runs/checkpoint-folder.ts";
import { type RunRecords, readRunRecords } from "../runs/read-run.ts";
import { byScore } from "./best.ts";
import { mean } from "./statistics.ts";
import type { Study } from "./study-file.ts";
import { type Configuration, type Reported, type StudyPlan, type Trial, trialFolder } from "./study-plan.ts";
import { identifyingOptions, type TrialIdentity } from "./trial-identity.ts";

/** What to do of a trial now. */
export interface TrialJob {
  trial: Trial;
  directory: string;
  /** Options of the run, its folder among them. */
  config: Readonly<Record<string, unknown>>;
  /** Go on with what the folder holds; else what is left of an old try is replaced. */
  resume: boolean;
  /** Pause after this many epochs. */
  stopAfter?: number | undefined;
  reported: Reported | undefined;
}

/** How that ended; `paused` is after `stopAfter` epochs. */
export type TrialEnd = "finished" | "paused" | "interrupted" | { failed: string };

export type TrialRunner = (job: TrialJob) => Promise<TrialEnd>;

/** `reported.json` of a trial's folder: metrics on the data that played no part in any choice, by Hugging Face's names. */
export const REPORTED = "reported.json";

/** `trial.json`: wall-clock seconds of the trial's processes, from their start to their end. */
export const TRIAL_TIME = "trial.json";
const timeSchema = z.object({ seconds: z.number() });
const reportedSchema = z.record(z.string(), z.number().nullable());

/** What a trial has come to. */
export interface TrialOutcome {
  trial: Trial;
  directory: string;
  /**
   * `pruned`: halving left it behind; `open`: it is yet to begin or to go on.
   */
  status: "finished" | "pruned" | "failed" | "open";
  /** Why it failed. */
  reason?: string;
  /** Epochs done. */
  epochs: number;
  records?: RunRecords;
  /** Absent while it has not finished, and where there are no data for it. */
  reported?: Record<string, number>;
  /** Wall-clock seconds of its processes, where it had any of its own. */
  processSeconds?: number | undefined;
}

export interface StudyOutcome {
  trials: TrialOutcome[];
  interrupted: boolean;
}

export interface StudyProgress {
  /** Told before a trial begins or goes on; `total` is of all that are to be done, as far as it is known. */
  onTrial?(trial: Trial, label: string, count: number, total: number): void;
  /** Told when a trial has ended, or paused at a rung. */
  onEnd?(trial: Trial, label: string): void;
  onFailure?(directory: string, reason: string): void;
  onRung?(epochs: number, left: readonly Configuration[]): void;
}

/**
 * Does all trials of a plan: finished ones are skipped, unfinished ones resumed, and one that fails does not keep the rest
 * from running.
 * @param parallel how many are under way at a time
 */
export async function runStudy(
  plan: StudyPlan,
  output: string,
  run: TrialRunner,
  progress: StudyProgress = {},
  parallel = 1,
): Promise<StudyOutcome> {
  const state = new StudyState(plan, output);
  const { seeds } = plan.study;
  let count = 0;

  /** @returns whether the study goes on */
  const advance = async ({ configuration, trial }: Turn, total: number, stopAfter?: number): Promise<boolean> => {
    const number = ++count;
    const directory = trialFolder(output, trial);
    if (await isDone(trial, directory, stopAfter)) return true;
    progress.onTrial?.(trial, configuration.label, number, total);
    const resume = await goesOn(directory, trial.identity);
    const config = { ...trial.config, output: directory };
    const end = await run({ trial, directory, config, resume, stopAfter, reported: trial.reported });
    if (end === "finished" || end === "paused") progress.onEnd?.(trial, configuration.label);
    if (typeof end === "object") {
      state.failed.set(trial.id, end.failed);
      progress.onFailure?.(directory, end.failed);
    }
    return end !== "interrupted";
  };

  let left = plan.configurations;
  const rungs = plan.rungs ?? [{ epochs: Number.POSITIVE_INFINITY, configurations: left.length }];
  const total = rungs.reduce((sum, rung) => sum + rung.configurations * seeds.length, 0);
  for (const [i, rung] of rungs.entries()) {
    const next = rungs[i + 1];
    if (plan.rungs) progress.onRung?.(rung.epochs, left);
    // Seed by seed: what is there when a study is cut off is a whole study of fewer seeds.
    const turns = seeds.flatMap((_, seed) =>
      left.map((configuration) => ({ configuration, trial: configuration.trials[seed]! })),
    );
    const goesOn = await eachOf(turns, parallel, (turn) => advance(turn, total, next && rung.epochs));
    if (!goesOn) return state.outcome(true);
    if (!next) break;
    const best = await survivors(left, plan.study, next.configurations, rung.epochs, state);
    for (const { trials } of left.filter((configuration) => !best.includes(configuration))) {
      for (const { id } of trials) state.pruned.add(id);
    }
    left = best;
  }
  return state.outcome(false);
}

interface Turn {
  configuration: Configuration;
  trial: Trial;
}

/** Does something for each item, several at a time, until it says that it is to end. @returns whether it never did */
async function eachOf<T>(items: readonly T[], parallel: number, act: (item: T) => Promise<boolean>): Promise<boolean> {
  const waiting = [...items];
  let goesOn = true;
  const take = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined && goesOn; item = waiting.shift()) {
      if (!(await act(item))) goesOn = false;
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, take));
  return goesOn;
}

/** What a study's trials have come to so far, without running any. */
export function readStudy(plan: StudyPlan, output: string): Promise<StudyOutcome> {
  return new StudyState(plan, output).outcome(false);
}

class StudyState {
  readonly failed = new Map<string, string>();
  readonly pruned = new Set<string>();
  readonly #plan: StudyPlan;
  readonly #output: string;

  constructor(plan: StudyPlan, output: string) {
    this.#plan = plan;
    this.#output = output;
  }

  /** The trial's own folder says what it came to. */
  read(trial: Trial): Promise<TrialOutcome> {
    const directory = trialFolder(this.#output, trial);
    return readTrial(trial, directory, { failed: this.failed.get(trial.id), pruned: this.pruned.has(trial.id) });
  }

  async outcome(interrupted: boolean): Promise<StudyOutcome> {
    const trials: TrialOutcome[] = [];
    for (const configuration of this.#plan.configurations) {
      for (const trial of configuration.trials) trials.push(await this.read(trial));
    }
    return { trials, interrupted };
  }
}

/** The records of a trial's run; undefined where there is none, or one with what were defaults of another version. */
async function recordsOf(directory: string, { options }: TrialIdentity): Promise<RunRecords | undefined> {
  if (!existsSync(join(directory, "config.json"))) return undefined;
  const records = await readRunRecords(directory);
  // A run that goes on from an adapter has options of that one's, too.
  if (records.config.run.adapter !== undefined) return records;
  return JSON.stringify(identifyingOptions(records.config)) === JSON.stringify(options) ? records : undefined;
}

/** Whether a folder holds a trial's run to go on with, or one that has ended. */
export async function goesOn(directory: string, identity: TrialIdentity): Promise<boolean> {
  const records = await recordsOf(directory, identity);
  return records !== undefined && (records.result !== undefined || (await hasCheckpoint(directory)));
}

async function readTrial(
  trial: Trial,
  directory: string,
  { failed, pruned }: { failed?: string | undefined; pruned: boolean },
): Promise<TrialOutcome> {
  const records = await recordsOf(directory, trial.identity);
  if (!records) {
    const known = { trial, directory, epochs: 0 };
    return failed === undefined ? { ...known, status: "open" } : { ...known, status: "failed", reason: failed };
  }
  const reported = await readReported(directory);
  const epochs = records.evaluations.reduce((most, { epoch }) => Math.max(most, epoch), 0);
  const time = timeSchema.safeParse(await readJsonFile(join(directory, TRIAL_TIME)));
  const processSeconds = time.data?.seconds;
  const known = { trial, directory, epochs, records, ...(reported && { reported }), processSeconds };
  if (failed !== undefined) return { ...known, status: "failed", reason: failed };
  if (records.result && (reported || !trial.reported)) return { ...known, status: "finished" };
  return { ...known, status: pruned ? "pruned" : "open" };
}

/** @throws UserError where the file is damaged. */
async function readReported(directory: string): Promise<Record<string, number> | undefined> {
  const path = join(directory, REPORTED);
  const value = await readJsonFile(path);
  if (value === undefined) return undefined;
  const parsed = reportedSchema.safeParse(value);
  if (!parsed.success) throw new UserError(`${path} is damaged; remove it, and the same command makes it again`);
  return Object.fromEntries(Object.entries(parsed.data).flatMap(([name, of]) => (of === null ? [] : [[name, of]])));
}

/** Whether a trial needs nothing more, or nothing more before it pauses. */
async function isDone(trial: Trial, directory: string, stopAfter: number | undefined): Promise<boolean> {
  const { status, epochs } = await readTrial(trial, directory, { pruned: false });
  return status === "finished" || (stopAfter !== undefined && epochs >= stopAfter);
}

/** The configurations that go on: those with the best held-out score so far, of equals the lower loss, as means over seeds. */
async function survivors(
  left: readonly Configuration[],
  study: Study,
  count: number,
  epochs: number,
  state: StudyState,
): Promise<Configuration[]> {
  const scored = await Promise.all(
    left.map(async (configuration) => {
      const outcomes = await Promise.all(configuration.trials.map((trial) => state.read(trial)));
      if (outcomes.some(({ status }) => status === "failed")) return [];
      const scores = outcomes.map((outcome) => heldOutScore(outcome, study, epochs));
      if (scores.some((score) => score === undefined)) return [];
      return [
        {
          configuration,
          metric: scores[0]!.metric,
          score: mean(scores.map((score) => score!.score)),
          loss: mean(scores.map((score) => score!.loss)),
        },
      ];
    }),
  );
  const order = scored.flat();
  const better = order[0] ? orderOf(study, order[0].metric) : undefined;
  return order
    .toSorted((a, b) => better!(a.score, b.score) || a.loss - b.loss)
    .slice(0, count)
    .map(({ configuration }) => configuration);
}

/** Orders scores, the best first. */
export function orderOf({ direction }: Pick<Study, "direction">, metric: string): (a: number, b: number) => number {
  if (direction === undefined) return byScore(metric);
  return direction === "lowest" ? (a, b) => a - b : (a, b) => b - a;
}

/** A trial's best score on its held-out examples, and the lowest loss there, of its first `epochs` epochs. */
export function heldOutScore(
  { records }: Pick<TrialOutcome, "records">,
  study: Pick<Study, "metric" | "direction">,
  epochs = Number.POSITIVE_INFINITY,
): { metric: string; score: number; loss: number } | undefined {
  const trained = (records?.evaluations ?? []).filter(({ epoch }) => epoch > 0 && epoch <= epochs);
  const metric = study.metric ?? Object.keys(trained[0]?.metrics ?? {})[0];
  if (metric === undefined) return undefined;
  const scores = trained.flatMap(({ metrics }) => metrics[metric] ?? []);
  if (scores.length === 0) return undefined;
  return {
    metric,
    score: scores.toSorted(orderOf(study, metric))[0]!,
    loss: Math.min(...trained.map(({ loss }) => loss ?? Number.POSITIVE_INFINITY)),
  };
}
