import { join } from "node:path";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { didYouMean, UserError } from "../errors.ts";
import { findMethod } from "../methods/methods.ts";
import { loadTask } from "../runs/load-task.ts";
import { optionOfRun, type RunConfig, resolveConfig, withAbsolutePaths } from "../runs/run-config.ts";
import type { TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { AsyncMemo } from "./async-memo.ts";
import { RunChecker } from "./check-run.ts";
import { type Choice, checkAllTakePart, drawChoice, gridOf, type Values } from "./factors.ts";
import { type Rung, rungsOf } from "./halving.ts";
import type { Study } from "./study-file.ts";
import { Identifier, type TrialIdentity, trialId } from "./trial-identity.ts";

/** Where a trial's reported score comes from: the data's own validation examples, or a file. */
export type Reported = { ownSplits: true } | { validation: string };

/** One run of a study. */
export interface Trial {
  /** Hash of what it is, the name of its folder. */
  id: string;
  identity: TrialIdentity;
  /** Index of its configuration. */
  configuration: number;
  seed: number;
  /** Options of the run but its folder. */
  config: Readonly<Record<string, unknown>>;
  /** Absent where all examples that are known train or choose. */
  reported: Reported | undefined;
}

/** Trials that differ in their seed alone. */
export interface Configuration {
  /** `beta1 0.5, beta2 0.9` */
  label: string;
  values: Values;
  trials: readonly Trial[];
  /** Examples that a run trains on and that it is reported on (of a file not counted: 0), its epochs and batch. */
  length: { examples: number; reported: number; epochs: number; batchSize: number };
}

export interface StudyPlan {
  study: Study;
  configurations: readonly Configuration[];
  /** Of successive halving. */
  rungs: readonly Rung[] | undefined;
  /** What the reader of the numbers must know. */
  notes: readonly string[];
}

/** Of the draws of a random search: a study drawn again is the same. */
const DRAW_SEED = 0;

/** Draws that are made for one that is new. */
const PATIENCE = 100;

/** Most trials that cannot work which an error tells the reason of. */
const TOLD = 12;

/**
 * Lays out all trials of a study and checks everything about them that can be known before the first one starts.
 * @throws UserError where a factor, the data or trials cannot work: then all of these are named.
 */
export async function planStudy(study: Study): Promise<StudyPlan> {
  return planChoices(
    study,
    study.trials === undefined ? gridOf(study.factors, study.options) : drawn(study, study.trials),
  );
}

/** The same for configurations that were chosen in another way. */
export async function planChoices(study: Study, choices: readonly Choice[]): Promise<StudyPlan> {
  const planner = new Planner(study);
  const failures: string[] = [];
  const byFirstTrial = new Map<string, Configuration>();
  for (const choice of choices) {
    try {
      const configuration = await planner.configuration(choice, byFirstTrial.size);
      const [{ id }] = configuration.trials as [Trial];
      // A factor that the method does not have changes nothing.
      if (!byFirstTrial.has(id)) byFirstTrial.set(id, configuration);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(`${labelOf(choice.values)}: ${error.message}`);
    }
  }
  if (failures.length > 0) throw refusal(failures, choices.length);
  const configurations = [...byFirstTrial.values()];
  return { study, configurations, rungs: rungsFor(study, configurations), notes: planner.notes(configurations) };
}

function refusal(failures: readonly string[], of: number): UserError {
  if (of === 1) return new UserError(failures[0]!.replace(/^[^:]*: /, ""));
  const reasons = new Set(failures.map((failure) => failure.slice(failure.indexOf(": "))));
  // Where it is not about what varies, one reason says it all.
  if (failures.length === of && reasons.size === 1) return new UserError([...reasons][0]!.slice(2));
  const more = failures.length > TOLD ? `; and ${failures.length - TOLD} more` : "";
  return new UserError(
    `${failures.length} of ${of} configurations cannot work: ${failures.slice(0, TOLD).join("; ")}${more}`,
  );
}

function drawn(study: Study, trials: number): Choice[] {
  const random = xoroshiro128plus(DRAW_SEED);
  const found = new Map<string, Choice>();
  for (let i = 0; i < trials * PATIENCE && found.size < trials; i++) {
    const choice = drawChoice(study.factors, study.options, random);
    const key = JSON.stringify(choice.values);
    if (!found.has(key)) found.set(key, choice);
  }
  const choices = [...found.values()];
  checkAllTakePart(study.factors, choices, 'give more "trials", or that among the options');
  return choices;
}

/** Configurations of fewer epochs than others end before the last rung. */
function rungsFor({ search, reduction }: Study, configurations: readonly Configuration[]): Rung[] | undefined {
  if (search !== "halving") return undefined;
  return rungsOf(configurations.length, Math.max(...configurations.map(({ length }) => length.epochs)), reduction);
}

/** `beta1 0.5, beta2 0.9` */
export const labelOf = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

/** Data of one source, as read. */
interface Source {
  /** As a run of the first seed has them. */
  task: TaskData;
  /** Validation examples of the data's own. */
  ownValidation: number;
}

class Planner {
  readonly #study: Study;
  readonly #checker = new RunChecker();
  readonly #identifier = new Identifier();
  readonly #sources = new AsyncMemo<Source>();

  constructor(study: Study) {
    this.#study = study;
  }

  /** @throws UserError where its trials cannot work. */
  async configuration({ values, options }: Choice, index: number): Promise<Configuration> {
    const { seeds, holdOut } = this.#study;
    const own = ownOptions(options, this.#study);
    const { validation, ...given } = own;
    const asGiven = { ...given, seed: seeds[0]!, validationSplit: holdOut };
    const { task, ownValidation } = await this.#sourceOf(resolveConfig(asGiven));
    this.#checkMetric(task);
    // A kind that the data told may have a recipe of its own.
    const others = findTaskKind(task.kind).recipe ? { ...given, kind: task.kind } : given;
    const first = resolveConfig({ ...asGiven, ...others });
    const file = validation === undefined ? undefined : String(validation);
    const reported: Reported | undefined =
      file !== undefined ? { validation: file } : ownValidation > 0 ? { ownSplits: true } : undefined;
    await this.#checker.check(first, task.train.length);
    const trials = await Promise.all(
      seeds.map(async (seed): Promise<Trial> => {
        const config = { ...others, seed, validationSplit: holdOut };
        const resolved = resolveConfig(config);
        const identity = await this.#identifier.identify(withAbsolutePaths(resolved), task, file);
        return { id: trialId(identity), identity, configuration: index, seed, config, reported };
      }),
    );
    const { epochs, batchSize } = first.run;
    const length = { examples: task.train.length, reported: ownValidation, epochs, batchSize };
    return { label: labelOf(values), values, trials, length };
  }

  #checkMetric({ name, metrics }: TaskData): void {
    const { metric } = this.#study;
    if (metric === undefined || metrics.includes(metric)) return;
    const known = metrics.join(", ");
    throw new UserError(`task ${name} has no metric "${metric}"${didYouMean(metric, metrics)} (metrics: ${known})`);
  }

  notes(configurations: readonly Configuration[]): string[] {
    const { holdOut } = this.#study;
    const share = `${Number((100 * holdOut).toPrecision(3))} % of the training examples, drawn by each seed`;
    const reportedSeparately = configurations.every(({ trials }) => trials[0]!.reported);
    return [
      reportedSeparately
        ? `Epochs and configurations are chosen on ${share}; scores are reported on validation data that played no part in it.`
        : `Epochs and configurations are chosen on ${share}. There are no validation data beside them, so that the scores of the chosen are those by which they were chosen, and too good.`,
    ];
  }

  #sourceOf(config: RunConfig): Promise<Source> {
    const { text, textPair, label, kind, maxTrainSamples, offline } = config.run;
    const key = JSON.stringify([config.source, text, textPair, label, kind, maxTrainSamples]);
    return this.#sources.get(key, async () => {
      const whole = await loadTask({ ...config, run: { ...config.run, validationSplit: undefined } }, { offline });
      const own = whole.heldOut ? [] : whole.validation;
      return {
        task: await loadTask(config, { offline }),
        ownValidation: own.reduce((sum, { examples }) => sum + examples.length, 0),
      };
    });
  }
}

/**
 * Options of runs and those of the configuration's method; another method's are left out.
 * @throws UserError where no method of the study has an option
 */
function ownOptions(
  options: Readonly<Record<string, unknown>>,
  { factors, options: base }: Study,
): Record<string, unknown> {
  const method = findMethod(String(options.method));
  const methods = [
    base.method,
    ...factors.flatMap(({ levels = [] }) => levels.map((level) => level.options.method ?? base.method)),
  ];
  const isUsed = (key: string): boolean => methods.some((name) => key in findMethod(String(name)).options.shape);
  return Object.fromEntries(
    Object.entries(options).filter(([key]) => optionOfRun(key) || key in method.options.shape || !isUsed(key)),
  );
}

/** A trial's folder in that of its study. */
export const trialFolder = (output: string, { id }: Pick<Trial, "id">): string => join(output, "trials", id);
