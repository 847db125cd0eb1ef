import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { opt, UserError } from "../errors.ts";
import { readJsonFile, writeJsonFile } from "../files/json-file-node.ts";
import { findMethod, TUNED_METHODS } from "../methods/methods.ts";
import { optionOfRun, type RunSettings, resolveConfig } from "../preparation/run-options-node.ts";
import { CHECKPOINTS } from "../runs/checkpoint-folder.ts";
import { HIDDEN_STATES, RUN_FILES } from "../runs/run-folder.ts";
import { type Factor, levelOf, parseFactor } from "./factors.ts";
import { heldOutScore, orderOf, runStudy, type StudyProgress, type TrialRunner } from "./run-study.ts";
import { ONCE_MORE, SHORTEST, withinMinutes } from "./search/within-minutes.ts";
import type { Study, StudyOutcome, StudyPlan, Trial, TrialOutcome } from "./study.ts";
import { planStudy } from "./study-plan.ts";
import { optionsOfMethod, withMethod } from "./trial-options.ts";

type Options = Readonly<Record<string, unknown>>;

export interface TuneOptions {
  /** Options of a run. Options given here are not varied. */
  options: Options;
  minutes: number;
  /** Run folder to write. The search is in its `search/` folder. */
  output: string;
  seed: number;
  metric?: string | undefined;
  /** Aborting ends the timing before the first trial, with the signal's reason. The runner ends running trials. */
  signal?: AbortSignal | undefined;
}

export interface TuneOutcome {
  plan: StudyPlan;
  outcome: StudyOutcome;
  /** The run that `aflora train` would do with these data, shortened if it does not fit. */
  defaults: TrialOutcome;
  /** Epochs of the defaults, if they exceed the time. */
  shortenedFrom: number | undefined;
  winner: TrialOutcome | undefined;
  /** The winner's settings, trained again with more of the examples; undefined if the time was too short. */
  again: TrialOutcome | undefined;
}

/** Number of epochs without improvement after which a trial stops. */
const PATIENCE = 3;
const RANKS = [4, 8, 16];
const NORMS = [0.1, 1];
/** Range of learning rates in decades relative to the recipe's: from half a decade below to one above. */
const DECADES: readonly [from: number, to: number] = [-0.5, 1];

export const searchFolder = (output: string): string => join(output, "search");

/**
 * Searches for the settings that do best on a held-out part of the training examples within a time: a study over methods, learning rates,
 * ranks, batch sizes, clipping and epochs.
 * @throws UserError if the options cannot work, or the time is too short
 */
export async function tune(
  { options, minutes, output, seed, metric, signal }: TuneOptions,
  run: TrialRunner,
  progress: StudyProgress,
): Promise<TuneOutcome> {
  const folder = searchFolder(output);
  if (existsSync(join(output, "config.json")) && !existsSync(folder)) {
    throw new UserError(`${output} already holds a run; choose another ${opt("output")}, or remove that folder`);
  }
  for (const key of ["validationSplit", "patience"]) {
    if (key in options) throw new UserError(`tune sets ${key} itself; leave it out`);
  }
  if ("maxSteps" in options) throw new UserError("tune chooses the length of runs in epochs; leave maxSteps out");
  const recipes = new Map<string, RunSettings>();
  const study: Study = {
    title: "Trials, and the best settings",
    options: { ...withMethod(options), patience: PATIENCE },
    factors: factorsBeside(options, recipes),
    search: { algorithm: withinMinutes, options: { minutes } },
    seeds: [seed],
    metric,
    holdOut: 0.2,
    keepsBest: true,
  };
  const plan = await planStudy(study, signal);
  const [first] = plan.configurations[0]!.trials as [Trial];
  const varied = "method" in options ? [] : TUNED_METHODS.map(({ name }) => name);
  for (const method of new Set([String(first.config.method), ...varied])) {
    recipes.set(method, (await plan.resolve(optionsOfMethod({ ...first.config, method }))).run);
  }
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

/** The factors to draw, without those that are given. @param recipes settings of each method for the examples and the model */
function factorsBeside(given: Options, recipes: ReadonlyMap<string, RunSettings>): Factor[] {
  const names = (["learningRate", "headLearningRate"] as const).filter((name) => !(name in given));
  const all: Factor[] = [
    parseFactor(
      "method",
      TUNED_METHODS.map(({ name }) => name),
    ),
    ...(names.length > 0 ? [ratesFactor(names, recipes)] : []),
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

/** Learning rates relative to the method's recipe. The head's rate is scaled along. */
const ratesFactor = (
  names: readonly ("learningRate" | "headLearningRate")[],
  recipes: ReadonlyMap<string, RunSettings>,
): Factor => ({
  name: names[0]!,
  levels: undefined,
  when: {},
  draw(random, options) {
    const decades = DECADES[0] + (DECADES[1] - DECADES[0]) * uniformFloat64(random);
    const recipe = recipes.get(findMethod(String(options.method)).name)!;
    const rates = names.map((name) => [name, Number((recipe[name] * 10 ** decades).toPrecision(2))]);
    return { label: String(rates[0]![1]), options: Object.fromEntries(rates) };
  },
});

/** Batch sizes to draw: that of the options and smaller ones, down to a quarter of the default. */
function batchesOf(options: Options): number[] {
  const given = runOptionsOf(options);
  const { batchSize: _, ...others } = given;
  const [most, byDefault] = [resolveConfig(given).run.batchSize, resolveConfig(others).run.batchSize];
  const least = Math.max(1, Math.min(most, Math.floor(SHORTEST * byDefault)));
  return [1, 2, 4].map((divisor) => Math.max(least, Math.round(most / divisor)));
}

const runOptionsOf = (options: Options): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([name]) => optionOfRun(name) !== undefined));

/** The finished trial with the best held-out score. Between equals, the lower loss decides, then the order: the defaults are first. */
function winnerOf(finished: readonly TrialOutcome[], study: Study): TrialOutcome | undefined {
  const scored = finished.flatMap((outcome) => {
    const score = outcome.configuration.stage === undefined ? heldOutScore(outcome, study) : undefined;
    return score ? [{ outcome, ...score }] : [];
  });
  const [best] = scored.toSorted((a, b) => orderOf(study, a.metric)(a.score, b.score) || a.loss - b.loss);
  // If all rewards failed, no trial has a score.
  return best?.outcome ?? finished.find(({ configuration }) => configuration.stage === undefined);
}

/** Moves the winner's run into the output folder, as `aflora train` would have written it. */
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

/** Files that mark a folder as a run, and as finished. Written last and removed first. */
const LAST = ["config.json", "result.json"];

const RUN = [...RUN_FILES.filter((name) => ![CHECKPOINTS, HIDDEN_STATES, ...LAST].includes(name)), ...LAST];
