import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { hasCheckpoint } from "../runs/checkpoint-folder.ts";
import { type RunRecords, readRunRecords } from "../runs/read-run.ts";
import { byScore } from "./best.ts";
import { type Reported, type ReportedScores, readReportedScores } from "./reported-scores.ts";
import { mean } from "./statistics.ts";
import type {
  Configuration,
  Round,
  SearchResults,
  Study,
  StudyOutcome,
  StudyPlan,
  TimeLimit,
  Trial,
  TrialOutcome,
} from "./study.ts";
import { trialFolder } from "./study-plan.ts";
import { identifyingOptions, type TrialIdentity } from "./trial-identity.ts";

export interface TrialJob {
  trial: Trial;
  label: string;
  directory: string;
  config: Readonly<Record<string, unknown>>;
  /** Resume the run in the folder. Otherwise, an old attempt is replaced. */
  resume: boolean;
  stopAfter?: number | undefined;
  until?: TimeLimit | undefined;
  /** Whether to train a model that learned from few rows once more on all of them. */
  refit?: boolean | undefined;
  /** Whether the model learns which texts are unlike the training rows. Nothing in a study reads it. */
  novelty?: boolean | undefined;
  reported: Reported | undefined;
}

/** How a trial's process ended; `paused` after `stopAfter` epochs. */
export type TrialEnd = "finished" | "paused" | "interrupted" | { failed: string };

export type TrialRunner = (job: TrialJob) => Promise<TrialEnd>;

/** File with the wall-clock seconds of the trial's processes, from start to end. */
export const TRIAL_TIME = "trial.json";
const timeSchema = z.object({ seconds: z.number() });

export interface StudyProgress {
  /** Called before a trial starts or resumes. `total` counts all trials to run, as far as known. */
  onTrial?(trial: Trial, label: string, count: number, total: number): void;
  onEnd?(trial: Trial, label: string): void;
  onFailure?(directory: string, reason: string): void;
  onNote?(note: string): void;
}

/**
 * Runs all trials that a plan's search asks for. Skips finished trials and resumes unfinished ones. If one fails, the others still run.
 * @param parallel number of concurrent trials
 * @throws UserError if the folder holds something other than a study
 */
export async function runStudy(
  plan: StudyPlan,
  output: string,
  run: TrialRunner,
  progress: StudyProgress = {},
  parallel = 1,
): Promise<StudyOutcome> {
  await refuseOtherFolder(output);
  const state = new StudyState(plan, output);
  const expected = plan.expected.reduce((sum, { trials }) => sum + trials, 0);
  let count = 0;

  /** @returns whether the study continues */
  const advance = async ({ configuration, trial }: Turn, { epochs: stopAfter, until }: Round, total: number) => {
    const number = ++count;
    const { label, refit } = configuration;
    const directory = trialFolder(output, trial);
    if (await isDone(trial, directory, stopAfter)) return true;
    if (isOver(until)) return false;
    progress.onTrial?.(trial, label, number, total);
    const resume = await hasUsableRun(directory, trial.identity);
    const config = { ...trial.config, output: directory };
    const { reported } = trial;
    const { keepsBest: novelty } = plan.study;
    const end = await run({ trial, label, directory, config, resume, stopAfter, until, refit, novelty, reported });
    if (end === "finished" || end === "paused") progress.onEnd?.(trial, label);
    if (typeof end === "object") {
      state.failed.set(trial.id, end.failed);
      progress.onFailure?.(directory, end.failed);
    }
    return end !== "interrupted";
  };

  for await (const round of plan.search.rounds(plan, state)) {
    state.enter(round);
    if (round.note !== undefined) progress.onNote?.(round.note);
    const turns = turnsOf(round);
    const total = Math.max(expected, count + turns.length);
    const isComplete = await eachOf(turns, parallel, (turn) => advance(turn, round, total));
    if (!isComplete && !isOver(round.until)) return state.outcome(true);
  }
  return state.outcome(false);
}

const isOver = (until: TimeLimit | undefined): boolean => until !== undefined && performance.now() >= until.time;

/** Reads the outcomes of a study's trials without running any. */
export async function readStudy(plan: StudyPlan, output: string): Promise<StudyOutcome> {
  const { trials } = await runStudy(plan, output, async () => "interrupted");
  return { trials, interrupted: false };
}

export const STUDY_FORMAT = "aflora-study";

async function refuseOtherFolder(output: string): Promise<void> {
  const names = await readdir(output).catch((): string[] => []);
  if (names.length === 0) return;
  const written = (await readJsonFile(join(output, "study.json"))) as { format?: unknown } | undefined;
  if (written ? written.format === STUDY_FORMAT : names.includes("trials")) return;
  throw new UserError(
    `${output} holds something other than a study, or a study of another layout; choose another ${opt("output")}, or move that folder away`,
  );
}

interface Turn {
  configuration: Configuration;
  trial: Trial;
}

/** Ordered by seed: a study that is cut off is a complete study of fewer seeds. */
function turnsOf({ configurations }: Round): Turn[] {
  const seeds = Math.max(0, ...configurations.map(({ trials }) => trials.length));
  return Array.from({ length: seeds }, (_, seed) =>
    configurations.flatMap((configuration): Turn[] => {
      const trial = configuration.trials[seed];
      return trial ? [{ configuration, trial }] : [];
    }),
  ).flat();
}

/** Runs `act` for each item, several at a time, until one returns false. @returns whether none did */
async function eachOf<T>(items: readonly T[], parallel: number, act: (item: T) => Promise<boolean>): Promise<boolean> {
  const waiting = [...items];
  let continues = true;
  const take = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined && continues; item = waiting.shift()) {
      if (!(await act(item))) continues = false;
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, take));
  return continues;
}

class StudyState implements SearchResults {
  readonly failed = new Map<string, string>();
  readonly #pruned = new Set<Configuration>();
  /** Configurations of the plan, and those that the search added, which replace others of the same name. */
  readonly #configurations = new Map<string, Configuration>();
  #last: Round | undefined;

  constructor(
    private readonly plan: StudyPlan,
    private readonly output: string,
  ) {
    this.#add(plan.configurations);
  }

  #add(configurations: readonly Configuration[]): void {
    for (const configuration of configurations) {
      const { stage = "", label } = configuration;
      this.#configurations.set(JSON.stringify([stage, label]), configuration);
    }
  }

  /** Configurations that paused in the last round and are not in this one are pruned. */
  enter(round: Round): void {
    if (this.#last?.epochs !== undefined) {
      for (const configuration of this.#last.configurations) {
        if (!round.configurations.includes(configuration)) this.#pruned.add(configuration);
      }
    }
    this.#last = round;
    this.#add(round.configurations);
  }

  outcomesOf(configuration: Configuration): Promise<TrialOutcome[]> {
    const pruned = this.#pruned.has(configuration);
    return Promise.all(
      configuration.trials.map(async (trial) => {
        const directory = trialFolder(this.output, trial);
        const read = await readTrial(trial, directory, { failed: this.failed.get(trial.id), pruned });
        return { trial, configuration, directory, ...read };
      }),
    );
  }

  async ranked(configurations: readonly Configuration[], epochs?: number): Promise<Configuration[]> {
    const { study } = this.plan;
    const scored = await Promise.all(
      configurations.map(async (configuration) => {
        const outcomes = await this.outcomesOf(configuration);
        const scores = outcomes.flatMap((outcome) => heldOutScore(outcome, study, epochs) ?? []);
        if (scores.length < outcomes.length || outcomes.some(({ status }) => status === "failed")) return [];
        const [{ metric }] = scores as [HeldOutScore];
        const [score, loss] = [mean(scores.map((each) => each.score)), mean(scores.map((each) => each.loss))];
        return [{ configuration, metric, score, loss }];
      }),
    );
    return scored
      .flat()
      .toSorted((a, b) => orderOf(study, a.metric)(a.score, b.score) || a.loss - b.loss)
      .map(({ configuration }) => configuration);
  }

  async outcome(interrupted: boolean): Promise<StudyOutcome> {
    const trials: TrialOutcome[] = [];
    for (const configuration of this.#configurations.values()) trials.push(...(await this.outcomesOf(configuration)));
    return { trials, interrupted };
  }
}

const BY_FITTED_HEAD = ["headFeatures", "labelThreshold"];

/** Records of a trial's run; undefined if there is none, or if it has the defaults of another version. */
async function recordsOf(directory: string, { options }: TrialIdentity): Promise<RunRecords | undefined> {
  if (!existsSync(join(directory, "config.json"))) return undefined;
  const records = await readRunRecords(directory);
  // A run that resumes from an adapter has options of that adapter, too.
  if (records.config.run.adapter !== undefined) return records;
  // The result of fitting a head is written among a run's options, even if they were not given.
  const isOf = ([name]: [string, unknown]): boolean => name in options || !BY_FITTED_HEAD.includes(name);
  const found = Object.fromEntries(Object.entries(identifyingOptions(records.config)).filter(isOf));
  return isDeepStrictEqual(found, options) ? records : undefined;
}

/** Whether a folder holds a trial's run that has ended or can be resumed. */
export async function hasUsableRun(directory: string, identity: TrialIdentity): Promise<boolean> {
  const records = await recordsOf(directory, identity);
  return records !== undefined && (records.result !== undefined || (await hasCheckpoint(directory)));
}

async function readTrial(
  trial: Trial,
  directory: string,
  { failed, pruned }: { failed?: string | undefined; pruned: boolean },
): Promise<Omit<TrialOutcome, "trial" | "configuration" | "directory">> {
  const records = await recordsOf(directory, trial.identity);
  if (!records)
    return failed === undefined ? { epochs: 0, status: "open" } : { epochs: 0, status: "failed", reason: failed };
  const reported = await readReportedScores(directory);
  const epochs = records.evaluations.reduce((most, { epoch }) => Math.max(most, epoch), 0);
  const time = timeSchema.safeParse(await readJsonFile(join(directory, TRIAL_TIME)));
  const known = { epochs, records, ...(reported && { reported }), processSeconds: time.data?.seconds };
  if (failed !== undefined) return { ...known, status: "failed", reason: failed };
  if (records.result && isScored(reported, trial)) return { ...known, status: "finished" };
  return { ...known, status: pruned ? "pruned" : "open" };
}

/** Whether all requested measurements of a trial exist. A study may request answers later. */
function isScored(found: ReportedScores | undefined, { reported: asked }: Trial): boolean {
  if (!asked) return true;
  return found !== undefined && (asked.generate === undefined || found.generate === asked.generate);
}

async function isDone(trial: Trial, directory: string, stopAfter: number | undefined): Promise<boolean> {
  const { status, epochs } = await readTrial(trial, directory, { pruned: false });
  return status === "finished" || (stopAfter !== undefined && epochs >= stopAfter);
}

export function orderOf({ direction }: Pick<Study, "direction">, metric: string): (a: number, b: number) => number {
  if (direction === undefined) return byScore(metric);
  return direction === "lowest" ? (a, b) => a - b : (a, b) => b - a;
}

export interface HeldOutScore {
  metric: string;
  score: number;
  loss: number;
}

/**
 * A trial's score and lowest loss on its held-out examples: those of the kept adapter if the trial has finished, otherwise the best
 * of its evaluations.
 * @param epochs counts only this many first epochs, to compare trials of different lengths
 */
export function heldOutScore(
  { records }: { records?: RunRecords | undefined },
  study: Pick<Study, "metric" | "direction">,
  epochs?: number,
): HeldOutScore | undefined {
  const trained = (records?.evaluations ?? []).filter(({ epoch }) => epoch > 0 && epoch <= (epochs ?? epoch));
  const metric = study.metric ?? Object.keys(trained[0]?.metrics ?? {})[0];
  if (metric === undefined) return undefined;
  const scores = trained.flatMap(({ metrics }) => metrics[metric] ?? []);
  if (scores.length === 0) return undefined;
  const kept = epochs === undefined ? records?.result?.metrics[metric] : undefined;
  return {
    metric,
    score: kept ?? scores.toSorted(orderOf(study, metric))[0]!,
    loss: trained.reduce((least, { loss }) => Math.min(least, loss ?? least), Number.POSITIVE_INFINITY),
  };
}
