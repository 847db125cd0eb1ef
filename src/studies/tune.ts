import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { UserError } from "../errors.ts";
import { readJsonFile, writeJsonFile } from "../files/json-file-node.ts";
import { optionOfRun, resolveConfig } from "../fine-tuning/run-options-node.ts";
import { DEFAULT_METHOD, TUNED_METHODS } from "../methods/methods.ts";
import { CHECKPOINTS } from "../runs/checkpoint-folder.ts";
import { HIDDEN_STATES, RUN_FILES } from "../runs/run-folder.ts";
import { type Factor, levelOf, parseFactor } from "./factors.ts";
import { heldOutScore, orderOf, runStudy, type StudyProgress, type TrialRunner } from "./run-study.ts";
import { ONCE_MORE, SHORTEST, withinMinutes } from "./search/within-minutes.ts";
import type { Study, StudyOutcome, StudyPlan, TrialOutcome } from "./study.ts";
import { planStudy } from "./study-plan.ts";

type Options = Readonly<Record<string, unknown>>;

/** How to look for the best settings. */
export interface TuneOptions {
  /** Options of a run; what is given here is not varied. */
  options: Options;
  /** Time for all of it. */
  minutes: number;
  /** Run folder to write; the search lies in `search/` in it. */
  output: string;
  seed: number;
  metric?: string | undefined;
  /** Ends the timing before the first trial, with its reason; trials that are under way are the runner's. */
  signal?: AbortSignal | undefined;
}

export interface TuneOutcome {
  plan: StudyPlan;
  outcome: StudyOutcome;
  /** What `aflora train` would have done with these data, where that fits; else the same shortened. */
  defaults: TrialOutcome;
  /** Epochs of the defaults, where these are more than the time was enough for. */
  shortenedFrom: number | undefined;
  /** Undefined where no trial has finished. */
  winner: TrialOutcome | undefined;
  /** The winner's settings trained again, with more of the examples; undefined where the time was not enough. */
  again: TrialOutcome | undefined;
}

/** Epochs without a better evaluation after which a trial stops. */
const PATIENCE = 3;
const RANKS = [4, 8, 16];
const NORMS = [0.1, 1];
/** Learning rates go from half a decade below the recipe's to a decade above. */
const DECADES: readonly [from: number, to: number] = [-0.5, 1];

/** Where the search lies in the run's folder. */
export const searchFolder = (output: string): string => join(output, "search");

/**
 * Looks for the settings that do best on a held-out part of the training examples, within a time: a study over methods, learning
 * rates, ranks, batches, clipping and epochs.
 * @throws UserError where the options, or so short a time, cannot work
 */
export async function tune(
  { options, minutes, output, seed, metric, signal }: TuneOptions,
  run: TrialRunner,
  progress: StudyProgress,
): Promise<TuneOutcome> {
  const folder = searchFolder(output);
  if (existsSync(join(output, "config.json")) && !existsSync(folder)) {
    throw new UserError(`${output} already holds a run; choose another --output, or remove that folder`);
  }
  for (const key of ["validationSplit", "patience"]) {
    if (key in options) throw new UserError(`tune sets ${key} itself; leave it out`);
  }
  const study: Study = {
    title: "What was tried, and what won",
    options: { method: DEFAULT_METHOD.name, ...options, patience: PATIENCE },
    factors: factorsBeside(options),
    search: { algorithm: withinMinutes, options: { minutes } },
    seeds: [seed],
    metric,
    holdOut: 0.2,
  };
  const plan = await planStudy(study, signal);
  const outcome = await runStudy(plan, folder, run, progress);
  const finished = outcome.trials.filter(({ status }) => status === "finished");
  const [defaults] = outcome.trials as [TrialOutcome];
  const { epochs: _, ...length } = defaults.trial.config;
  const { epochs: wanted } = (await plan.resolve("epochs" in options ? { ...length, epochs: options.epochs } : length))
    .run;
  return {
    plan,
    outcome,
    defaults,
    shortenedFrom: wanted > Number(defaults.trial.config.epochs) ? wanted : undefined,
    winner: winnerOf(finished, study),
    again: finished.find(({ configuration }) => configuration.stage === ONCE_MORE),
  };
}

/** What is drawn, where it is not given. */
function factorsBeside(given: Options): Factor[] {
  const names = ["learningRate", "headLearningRate"].filter((name) => !(name in given));
  const all: Factor[] = [
    parseFactor(
      "method",
      TUNED_METHODS.map(({ name }) => name),
    ),
    ...(names.length > 0 ? [ratesFactor(names)] : []),
    parseFactor("rank", RANKS),
    {
      name: "batchSize",
      levels: undefined,
      when: {},
      draw: (random, options) => one("batchSize", batchesOf(options), random),
    },
    parseFactor("maxGradNorm", NORMS),
    {
      name: "epochs",
      levels: undefined,
      when: {},
      draw: (random, { epochs }) => one("epochs", [Number(epochs), Math.ceil(Number(epochs) / 2)], random),
    },
  ];
  return all.filter(({ name }) => !(name in given));
}

const one = (name: string, of: readonly number[], random: Parameters<Factor["draw"]>[0]) =>
  levelOf(name, of[uniformInt(random, 0, of.length - 1)]!);

/** Learning rates by what the method's recipe has, the head's moved along. */
const ratesFactor = (names: readonly string[]): Factor => ({
  name: names[0]!,
  levels: undefined,
  when: {},
  draw(random, options) {
    const decades = DECADES[0] + (DECADES[1] - DECADES[0]) * uniformFloat64(random);
    const recipe: Options = { ...resolveConfig(runOptionsOf(options)).run };
    const rates = names.map((name) => [name, Number((Number(recipe[name]) * 10 ** decades).toPrecision(2))]);
    return { label: String(rates[0]![1]), options: Object.fromEntries(rates) };
  },
});

/** Batches that are drawn: those of the options and smaller ones, down to a quarter of the defaults'. */
function batchesOf(options: Options): number[] {
  const given = runOptionsOf(options);
  const { batchSize: _, ...others } = given;
  const [most, byDefault] = [resolveConfig(given).run.batchSize, resolveConfig(others).run.batchSize];
  const least = Math.max(1, Math.min(most, Math.floor(SHORTEST * byDefault)));
  return [1, 2, 4].map((divisor) => Math.max(least, Math.round(most / divisor)));
}

const runOptionsOf = (options: Options): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([name]) => optionOfRun(name) !== undefined));

/** The finished trial with the best held-out score, of equals the lower loss, then the first: the defaults. */
function winnerOf(finished: readonly TrialOutcome[], study: Study): TrialOutcome | undefined {
  const scored = finished.flatMap((outcome) => {
    const score = outcome.configuration.stage === undefined ? heldOutScore(outcome, study) : undefined;
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
