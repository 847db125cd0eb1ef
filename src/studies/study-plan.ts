import { join } from "node:path";
import { didYouMean, opt, UserError } from "../errors.ts";
import { writesTexts } from "../inference/load-fine-tuned-model-node.ts";
import { DEFAULT_METHODS, findMethod, METHODS } from "../methods/methods.ts";
import { loadTask } from "../preparation/load-task-node.ts";
import {
  optionOfRun,
  presetNote,
  publishedOf,
  type RunConfig,
  resolveConfig,
  withAbsolutePaths,
} from "../preparation/run-options-node.ts";
import { sourceName } from "../runs/run-data.ts";
import { shownNotes, taskNotes } from "../tasks/data-notes.ts";
import type { TaskData } from "../tasks/example.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { runLength } from "../training/batches/batch-order.ts";
import { AsyncMemo } from "./async-memo.ts";
import { RunChecker } from "./check-run.ts";
import { labelOf } from "./factors.ts";
import { isApart, type Reported } from "./reported-scores.ts";
import type { Configuration, Study, StudyPlan, Trial, Wanted } from "./study.ts";
import { Identifier, trialId } from "./trial-identity.ts";
import { holdingOut, optionsOfMethod } from "./trial-options.ts";

const MAX_EXPLAINED = 12;

/**
 * Plans a study as far as possible before the first trial, and checks everything that can be checked.
 * @param signal aborting ends the planning, with the signal's reason
 * @throws UserError if a factor, the data or configurations cannot work; names all of these configurations
 */
export async function planStudy(study: Study, signal?: AbortSignal): Promise<StudyPlan> {
  refuseForeign(study);
  const planner = new Planner(study);
  const { algorithm, options } = study.search;
  const search = await algorithm.begin(study, options, signal);
  const failures: string[] = [];
  const byFirstTrial = new Map<string, Configuration>();
  for (const choice of search.choices) {
    try {
      const configuration = await planner.configuration(choice);
      const [{ id }] = configuration.trials as [Trial];
      // A factor that the method does not have changes nothing.
      if (!byFirstTrial.has(id)) byFirstTrial.set(id, configuration);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(`${labelOf(choice.values)}: ${error.message}`);
    }
  }
  if (failures.length > 0) throw refusal(failures, search.choices.length);
  const configurations = [...byFirstTrial.values()];
  return {
    study,
    search,
    configurations,
    expected: search.expects(configurations),
    notes: planner.notes(configurations),
    resolve: (given) => planner.resolve(given),
    more: (wanted) => planner.configuration(wanted),
  };
}

function refusal(failures: readonly string[], of: number): UserError {
  if (of === 1) return new UserError(failures[0]!.replace(/^[^:]*: /, ""));
  const reasons = new Set(failures.map((failure) => failure.slice(failure.indexOf(": "))));
  // If the reason is not about the varied factors, it is given once.
  if (failures.length === of && reasons.size === 1) return new UserError([...reasons][0]!.slice(2));
  const more = failures.length > MAX_EXPLAINED ? `; and ${failures.length - MAX_EXPLAINED} more` : "";
  return new UserError(
    `${failures.length} of ${of} configurations cannot work: ${failures.slice(0, MAX_EXPLAINED).join("; ")}${more}`,
  );
}

function refuseForeign({ options, factors }: Study): void {
  // If all levels of a factor set the method, no trial uses the method among the options.
  const chosen = factors.some(
    ({ levels = [], when }) =>
      Object.keys(when).length === 0 && levels.length > 0 && levels.every((level) => "method" in level.options),
  );
  const base = chosen ? { ...options, method: undefined } : options;
  const given = [base, ...factors.flatMap(({ levels = [] }) => levels.map((level) => level.options))];
  const methods = new Set(given.flatMap(({ method }) => method ?? []));
  const named = [...methods].map((name) => findMethod(String(name)));
  const definitions = chosen || options.method !== undefined ? named : [...new Set([...DEFAULT_METHODS, ...named])];
  const drawn = factors.flatMap(({ name, levels }) => (levels ? [] : name));
  const names = [...given.flatMap((of) => Object.keys(of)), ...drawn];
  const foreign = names.find(
    (name) => !optionOfRun(name) && !definitions.some((definition) => name in definition.options.shape),
  );
  if (foreign === undefined) return;
  const owners = METHODS.ownersOf(foreign);
  const here = definitions.map(({ name }) => name).join(", ");
  throw new UserError(
    `${opt(foreign)} belongs to ${new Intl.ListFormat("en").format(owners)}, not to the methods here (${here})`,
  );
}

interface Source {
  /** The data of a run with the first seed. */
  task: TaskData;
  ownValidation: number;
}

class Planner {
  readonly #checker = new RunChecker();
  readonly #identifier = new Identifier();
  readonly #sources = new AsyncMemo<Source>();
  /** Methods and tasks with published settings, and those without. */
  readonly #published = new Set<string>();
  readonly #rowNotes = new Set<string>();
  /** Whether there is validation data on which no score can be reported. */
  #leavesOutValidation = false;

  constructor(private readonly study: Study) {}

  async resolve(given: Readonly<Record<string, unknown>>): Promise<RunConfig> {
    return this.#checker.resolve(given, (await this.#sourceOf(resolveConfig(given))).task);
  }

  async configuration({ values, options, stage, found, refit, ...wanted }: Wanted): Promise<Configuration> {
    const { seeds = this.study.seeds, holdOut = this.study.holdOut } = wanted;
    const { preset, ...own } = optionsOfMethod(options);
    const given = { ...holdingOut(own, holdOut), seed: seeds[0]! };
    const { task, ownValidation } = await this.#sourceOf(resolveConfig(given));
    this.#checkMetric(task);
    this.#checkAnswers(task);
    // A kind that was detected from the data may have its own published settings and learning rates.
    const { recipe, refines } = findTaskKind(task.kind);
    const detected = recipe === undefined && !refines ? given : { ...given, kind: task.kind };
    const settings = preset === undefined ? detected : this.#withPublished({ ...detected, preset });
    const first = await this.#checker.resolve(settings, task);
    await this.#checker.check(first, task.train.length);
    const file = own.validation === undefined ? undefined : String(own.validation);
    const reported = this.#reported(task, holdOut, file, ownValidation);
    const apart = isApart(reported);
    const trials = await Promise.all(
      seeds.map(async (seed): Promise<Trial> => {
        const config = { ...settings, method: first.method.name, seed };
        const resolved = withAbsolutePaths(await this.#checker.resolve(config, task));
        const identity = await this.#identifier.identify(resolved, task, apart ? file : undefined);
        return { id: trialId(identity), identity, seed, config, reported };
      }),
    );
    const { batchSize } = first.run;
    const { totalSteps, stepsPerEpoch } = runLength(first.run, task.train.length);
    return {
      label: labelOf(values),
      values,
      options,
      ...(stage !== undefined && { stage }),
      ...(found && { found }),
      ...(refit && { refit }),
      trials,
      source: first.source,
      holdsOut: task.heldOut !== undefined,
      length: {
        examples: task.train.length,
        reported: apart ? ownValidation : 0,
        epochs: totalSteps / stepsPerEpoch,
        batchSize,
      },
    };
  }

  /** Adds the method's published settings for the task. If none were published, the defaults stay. */
  #withPublished(given: Record<string, unknown>): Record<string, unknown> {
    const method = findMethod(String(given.method));
    const published = publishedOf(given);
    if (published) {
      this.#published.add(`${method.name}: ${presetNote(given)}`);
      return given;
    }
    const { preset: _, ...others } = given;
    const { source } = resolveConfig(others);
    this.#published.add(`${method.name} on ${sourceName(source)}: no published setting; aflora's defaults are used`);
    // As for published settings, so that all methods train the same part of the head.
    return { head: "classifier", ...others };
  }

  #reported(
    { kind }: TaskData,
    holdOut: number,
    file: string | undefined,
    ownValidation: number,
  ): Reported | undefined {
    const { generate } = this.study;
    // Only training computes rewards, which may come from a program.
    if (findTaskKind(kind).writing?.rollout) {
      if (holdOut > 0 && (file !== undefined || ownValidation > 0)) this.#leavesOutValidation = true;
      return undefined;
    }
    const apart =
      holdOut === 0
        ? {}
        : file !== undefined
          ? { validation: file }
          : ownValidation > 0 && ({ ownSplits: true } as const);
    const reported = { ...apart, ...(generate !== undefined && { generate }) };
    return Object.keys(reported).length > 0 ? reported : undefined;
  }

  #checkAnswers({ kind }: TaskData): void {
    if (this.study.generate === undefined || (writesTexts({ kind }) && !findTaskKind(kind).writing?.rollout)) return;
    throw new UserError(`models of kind ${kind} write no answers to score; leave generate out`);
  }

  #checkMetric({ name, metrics }: TaskData): void {
    const { metric } = this.study;
    if (metric === undefined || metrics.includes(metric)) return;
    const known = metrics.join(", ");
    throw new UserError(`task ${name} has no metric "${metric}"${didYouMean(metric, metrics)} (metrics: ${known})`);
  }

  notes(configurations: readonly Configuration[]): string[] {
    const why = this.#leavesOutValidation
      ? "Rewards are computed in training only, so validation data is left out"
      : "There is no other validation data";
    return [howChosen(this.study, configurations, why), ...this.#published, ...this.#rowNotes];
  }

  #sourceOf(config: RunConfig): Promise<Source> {
    const { maxTrainSamples, validationSplit, offline, strict } = config.run;
    const { text, textPair, label, kind, minClassRows, smallClasses } = config.run;
    const rows = [text, textPair, label, kind, minClassRows, smallClasses, maxTrainSamples, validationSplit];
    const key = JSON.stringify([config.source, rows]);
    return this.#sources.get(key, async () => {
      const task = await loadTask(config, { offline });
      for (const note of shownNotes(taskNotes(task), strict)) this.#rowNotes.add(note);
      const whole =
        validationSplit === undefined
          ? task
          : await loadTask({ ...config, run: { ...config.run, validationSplit: undefined } }, { offline });
      const own = whole.heldOut ? [] : whole.validation;
      return { task, ownValidation: own.reduce((sum, { examples }) => sum + examples.length, 0) };
    });
  }
}

/**
 * Describes the examples that choose epochs and configurations, and whether scores are on others.
 * @param why why they are not, where they could be
 */
function howChosen({ holdOut }: Study, configurations: readonly Configuration[], why: string): string {
  if (holdOut === 0) {
    return configurations.some(({ holdsOut }) => holdsOut)
      ? "The best epoch of each run is chosen on the examples that give the scores, which each seed draws from the training examples."
      : "The best epoch of each run is chosen on the validation examples that give the scores, as in published tables.";
  }
  const share = `${Number((100 * holdOut).toPrecision(3))} % of the training examples, drawn by each seed`;
  return configurations.every(({ trials }) => isApart(trials[0]!.reported))
    ? `Epochs and configurations are chosen on ${share}; scores are reported on validation data that played no part in it.`
    : `Epochs and configurations are chosen on ${share}. ${why}: the chosen configurations are scored on the examples by which they were chosen, so their scores are too high.`;
}

export const trialFolder = (output: string, { id }: Pick<Trial, "id">): string => join(output, "trials", id);
