import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { readJsonFile, writeJsonFile } from "../checkpoints/json-file-node.ts";
import { UserError } from "../errors.ts";
import { DEFAULT_METHOD } from "../methods/methods.ts";
import { CHECKPOINTS } from "../runs/checkpoint-folder.ts";
import { resolveConfig } from "../runs/run-config.ts";
import { HIDDEN_STATES, RUN_FILES } from "../runs/run-folder.ts";
import { secondsOf, type Timing, timeRun } from "./estimate.ts";
import type { Choice, Factor } from "./factors.ts";
import { epochsOf, rungsOf } from "./halving.ts";
import {
  heldOutScore,
  orderOf,
  runStudy,
  type StudyOutcome,
  type StudyProgress,
  type TrialOutcome,
  type TrialRunner,
} from "./run-study.ts";
import type { Study } from "./study-file.ts";
import { planChoices, type StudyPlan } from "./study-plan.ts";
import { candidates, DRAWN, valuesOf, withoutValidation } from "./tune-candidates.ts";

/** How to look for the best settings. */
export interface TuneOptions {
  /** Options of a run; what is given here is not varied. */
  options: Readonly<Record<string, unknown>>;
  /** Time for all of it. */
  minutes: number;
  /** Run folder to write; the search lies in `search/` in it. */
  output: string;
  seed: number;
  metric?: string | undefined;
  /** Ends the timing before the first trial, with its reason; trials that are under way are the runner's. */
  signal?: AbortSignal | undefined;
}

export interface TuneProgress extends StudyProgress {
  onNote?(note: string): void;
  /** Told before the first trial: after this time it is to end by its best evaluation so far. */
  finishAfter?(milliseconds: number): void;
  /** Told after the first trial: after this time whatever is under way is to be aborted. */
  endAfter(milliseconds: number): void;
}

export interface TuneOutcome {
  plan: StudyPlan;
  outcome: StudyOutcome;
  /** Undefined where the search was interrupted before any trial had finished. */
  winner: TrialOutcome | undefined;
  /** The winner's settings trained again, with more of the examples; undefined where the time was not enough. */
  again?: TrialOutcome | undefined;
  /** What `aflora train` would have done with these data, where that fits; else the same shortened. */
  defaults: TrialOutcome | undefined;
  /** Epochs of the defaults, where these are more than the time is enough for. */
  shortenedFrom: number | undefined;
}

/** How long all trials are. */
interface Length {
  epochs: number;
  batchSize: number;
  /** Whether time is left for more than one trial. */
  compares: boolean;
}

const REDUCTION = 3;
/** Share of the training examples that trials are chosen by. */
const HELD_OUT = 0.2;
/** The same where nothing is chosen by them but the epoch: of a run that stands alone, and of the winner's last. */
const HELD_OUT_AT_LAST = 0.1;
/** Epochs without a better evaluation after which a trial stops. */
const PATIENCE = 3;
/** Epochs of trials that are compared, and batches, are no less than this share of the defaults'. */
const SHORTEST = 1 / 4;
/** Candidates at most: more than these are hardly told apart on a held-out part. */
const MOST = 40;
/** Share of the time in which the search is planned to end, and in which it is ended: the rest is for writing the winner. */
const PLANNED = 0.8;
const ENDED = 0.93;
/** Share of the planned time that the defaults may take where other settings are compared with them. */
const WHOLE = 1 / 2;
/** The same where they are shortened: three others fit beside them. */
const SHORTENED = 3 / 8;
/** Share of the time in which one run alone is planned to end: no search follows it. */
const ALONE = 0.85;

/** Where the search lies in the run's folder. */
export const searchFolder = (output: string): string => join(output, "search");

/**
 * Looks for the settings that do best on a held-out part of the training examples, within a time: first the defaults are
 * trained to their end, then successive halving over methods, learning rates, ranks, batches, clipping and epochs takes
 * the time that is left. What the search leaves trains the winner's settings again, with more of the examples.
 * @throws UserError where the options, or so short a time, cannot work
 */
export async function tune(
  { options, minutes, output, seed, metric, signal }: TuneOptions,
  run: TrialRunner,
  progress: TuneProgress,
): Promise<TuneOutcome> {
  const began = performance.now();
  const total = 60 * minutes;
  const elapsed = (): number => (performance.now() - began) / 1000;
  const folder = searchFolder(output);
  if (existsSync(join(output, "config.json")) && !existsSync(folder)) {
    throw new UserError(`${output} already holds a run; choose another --output, or remove that folder`);
  }
  const study = studyOf(options, seed, metric);

  const timing = await timeRun({ ...withoutValidation(study.options), seed, validationSplit: HELD_OUT }, signal);
  const length = lengthThatFits(timing, "batchSize" in options, minutes);
  const { epochs, batchSize, compares } = length;
  const wanted = timing.length.epochs;
  if (epochs < wanted || !compares) progress.onNote?.(shortening(timing, length, minutes));
  const single = compares ? { ...study, ...ONE_BY_ONE } : standingAlone(study);
  const base = { ...single.options, epochs, ...(batchSize < timing.length.batchSize && { batchSize }) };
  const resolved = resolveConfig({ ...withoutValidation(base), seed, validationSplit: single.holdOut });
  const first: Choice = { values: valuesOf(resolved, options), options: base };
  const alone = await planChoices(single, [first]);
  const startedAt = elapsed();
  const timeLeft = (): number => Math.max(0, 1000 * (ENDED * total - elapsed()));
  progress.finishAfter?.(timeLeft());
  const before = await runStudy(alone, folder, run, progress);
  const [defaults] = before.trials as [TrialOutcome];
  const shortenedFrom = epochs < wanted ? wanted : undefined;
  if (before.interrupted || defaults.status !== "finished") {
    return { plan: alone, outcome: before, winner: undefined, defaults: undefined, shortenedFrom };
  }

  // Only now is there a winner, whatever is cut off.
  progress.endAfter(timeLeft());

  // What the defaults took says what the others will: so much an epoch, and the rest once for each start.
  const trained = defaults.records!.result!.seconds;
  const perEpoch = trained / Math.max(1, defaults.epochs);
  const perStart = Math.max(0, (defaults.processSeconds ?? elapsed() - startedAt) - trained);
  const left = PLANNED * total - elapsed();
  const costOf = (count: number): number => {
    const rungs = rungsOf(count, epochs, REDUCTION);
    const starts = rungs.reduce((sum, rung) => sum + rung.configurations, 0);
    return epochsOf(rungs) * perEpoch + starts * perStart;
  };
  let count = 0;
  while (compares && count < MOST && costOf(count + 1) <= left) count++;
  if (compares)
    progress.onNote?.(`${count} other ${count === 1 ? "setting fits" : "settings fit"} into the time that is left`);
  const batches = batchesBelow(batchSize, timing.length.batchSize);
  const others = candidates(count, base, resolved, options, batches);
  const plan = count === 0 ? alone : await planChoices(study, [first, ...others]);
  const outcome = count === 0 ? before : await runStudy(plan, folder, run, progress);
  const winner = winnerOf(outcome, study);
  const found = { plan, outcome, winner, defaults, shortenedFrom };
  if (!compares || !winner || outcome.interrupted) return found;
  const { seconds } = winner.records!.result!;
  const cost = perStart + (seconds * plannedEpochs(winner) * (1 - HELD_OUT_AT_LAST)) / (winner.epochs * (1 - HELD_OUT));
  if (1000 * cost > timeLeft()) return found;
  progress.onNote?.(`the best settings once more, with ${100 * (1 - HELD_OUT_AT_LAST)} % of the examples`);
  const last = await runStudy(await planAgain(winner, found.plan), folder, run, progress);
  return { ...found, again: last.trials.find(({ status }) => status === "finished") };
}

const ONE_BY_ONE = { search: "grid", trials: undefined } as const;

/** A run that is compared with nothing has no reason to stop early, and needs fewer examples to be judged by. */
function standingAlone(study: Study): Study {
  const { patience: _, ...options } = study.options;
  return { ...study, ...ONE_BY_ONE, options, holdOut: HELD_OUT_AT_LAST };
}

/** What it takes, from what one takes that is compared. */
function timingAlone(timing: Timing): Timing {
  const { stepsPerEpoch, validation } = timing.length;
  const length = {
    ...timing.length,
    stepsPerEpoch: Math.ceil((stepsPerEpoch * (1 - HELD_OUT_AT_LAST)) / (1 - HELD_OUT)),
    validation: (validation * HELD_OUT_AT_LAST) / HELD_OUT,
  };
  return { ...timing, length };
}

const plannedEpochs = ({ trial }: TrialOutcome): number => Number(trial.config.epochs);

/** A trial's settings to their last epoch, with less held out. */
function planAgain({ trial }: TrialOutcome, { study, configurations }: StudyPlan): Promise<StudyPlan> {
  const { patience: _, validationSplit: __, seed: ___, ...settings } = trial.config;
  const { values } = configurations[trial.configuration]!;
  const { validation } = study.options;
  return planChoices(standingAlone(study), [
    { values, options: { ...settings, ...(validation !== undefined && { validation }) } },
  ]);
}

/** The finished trial with the best held-out score, of equals the lower loss, then the first: the defaults. */
function winnerOf({ trials }: StudyOutcome, study: Study): TrialOutcome | undefined {
  const scored = trials.flatMap((outcome) => {
    const score = outcome.status === "finished" ? heldOutScore(outcome, study) : undefined;
    return score ? [{ outcome, ...score }] : [];
  });
  return scored.toSorted((a, b) => orderOf(study, a.metric)(a.score, b.score) || a.loss - b.loss)[0]?.outcome;
}

/** Puts the winner's run into the output folder, as `aflora train` would have left it. */
export async function keepWinner(winner: TrialOutcome, output: string): Promise<void> {
  for (const name of RUN.toReversed()) await rm(join(output, name), { recursive: true, force: true });
  for (const name of RUN) {
    const from = join(winner.directory, name);
    if (!existsSync(from)) continue;
    if (name === "config.json") {
      await writeJsonFile(join(output, name), { ...((await readJsonFile(from)) as object), output: resolve(output) });
    } else if (name === "result.json") {
      await writeJsonFile(join(output, name), (await readJsonFile(from)) as object);
    } else await cp(from, join(output, name), { recursive: true });
  }
}

/** By these a folder counts as a run and as finished: they come last and go first. */
const LAST = ["config.json", "result.json"];

/** What a finished run consists of. */
const RUN = [...RUN_FILES.filter((name) => ![CHECKPOINTS, HIDDEN_STATES, ...LAST].includes(name)), ...LAST];

function studyOf(options: Readonly<Record<string, unknown>>, seed: number, metric: string | undefined): Study {
  for (const key of ["validationSplit", "patience"]) {
    if (key in options) throw new UserError(`tune sets ${key} itself; leave it out`);
  }
  return {
    title: "Tuning",
    options: { method: DEFAULT_METHOD.name, ...options, patience: PATIENCE },
    factors: DRAWN.filter((name) => !(name in options)).map(
      (name): Factor => ({ name, levels: undefined, when: {}, draw: () => ({ label: "", options: {} }) }),
    ),
    search: "halving",
    trials: undefined,
    reduction: REDUCTION,
    seeds: [seed],
    metric,
    holdOut: HELD_OUT,
  };
}

/**
 * The defaults' own length where that leaves half of the time for other settings. Else fewer epochs, in smaller batches that
 * keep the steps; and where even fewer would be needed, one run of all that fits: such short ones teach little to compare.
 * @param timing in seconds, of the defaults
 * @param batchIsGiven by the user, and stays as it is
 * @throws UserError where not even one epoch fits.
 */
export function lengthThatFits(timing: Timing, batchIsGiven: boolean, minutes: number): Length {
  const { epochs: wanted, batchSize } = timing.length;
  const within = (seconds: number, of = timing): number => {
    let epochs = wanted;
    while (epochs > 0 && secondsOf(of, 0, { to: epochs }) > seconds) epochs--;
    return epochs;
  };
  const total = 60 * minutes;
  const planned = PLANNED * total;
  if (within(WHOLE * planned) === wanted) return { epochs: wanted, batchSize, compares: true };
  const compared = within(SHORTENED * planned);
  const compares = compared > 0 && compared >= SHORTEST * wanted;
  const alone = timingAlone(timing);
  const epochs = compares ? compared : within(ALONE * total, alone);
  if (epochs === 0) {
    const one = secondsOf(alone, 0, { to: 1 });
    const needed = Math.ceil(one / (60 * ALONE));
    throw new UserError(
      `--minutes ${minutes} is too few: an epoch alone takes ${Math.ceil(one)} s here; give --minutes ${needed} or more, or fewer examples with --max-train-samples`,
    );
  }
  const share = Math.max(SHORTEST, epochs / wanted);
  return { epochs, batchSize: batchIsGiven ? batchSize : Math.max(1, Math.floor(batchSize * share)), compares };
}

/** What the user is told of it. */
function shortening(timing: Timing, { epochs, batchSize, compares }: Length, minutes: number): string {
  const { epochs: wanted, batchSize: whole } = timing.length;
  const smaller = batchSize < whole ? `, in batches of ${batchSize} in place of ${whole}` : "";
  if (compares) return `the defaults' ${wanted} epochs do not fit into the time: all trials have ${epochs}${smaller}`;
  const enough = secondsOf(timing, 0, { to: Math.ceil(SHORTEST * wanted) }) / (60 * SHORTENED * PLANNED);
  return `there is no time to compare settings: one run of ${epochs} of the defaults' ${wanted} epochs${smaller}${smaller && ","} takes all of it; about ${Math.max(Math.floor(minutes) + 1, Math.ceil(enough))} minutes are enough for some`;
}

/** Batches that are drawn: those of the trials and smaller ones, down to the smallest. */
function batchesBelow(batchSize: number, defaults: number): number[] {
  const sizes = [1, 2, 4].map((divisor) => Math.round(batchSize / divisor));
  return sizes.map((size) => Math.max(1, Math.min(batchSize, Math.floor(SHORTEST * defaults)), size));
}
