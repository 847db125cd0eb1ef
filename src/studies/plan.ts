import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { BUNDLED_MODEL } from "../inference/bundled-model.ts";
import type { MethodDefinition } from "../methods/method.ts";
import { findMethod, METHODS } from "../methods/methods.ts";
import { publishedOptions } from "../methods/published.ts";
import { loadTask } from "../runs/load-task.ts";
import { readRunRecords } from "../runs/read-run.ts";
import { flatOptions, MAY_DIFFER, optionOfRun, resolveConfig, withAbsolutePaths } from "../runs/run-config.ts";
import type { TaskData } from "../tasks/example.ts";
import { glueTaskName } from "../tasks/glue.ts";
import { byScore } from "./best.ts";
import { RunChecker } from "./check-run.ts";

/** What to compare. */
export interface ComparisonOptions {
  methods: readonly string[];
  /** GLUE tasks; none where `options` name the user's own examples. */
  tasks: readonly string[];
  seeds: readonly number[];
  /** Ranks for every method that has one; each method's own default where empty. */
  ranks: readonly number[];
  /** Folder of the comparison; `<task>/<method>[-r<rank>]-s<seed>` in it are the run folders. */
  output: string;
  /** `paper`: each method's published setting of a task (docs/compare.md). */
  preset?: "paper";
  /** Learning-rate trials of every method on a split of the training data, before its runs. */
  search?: { trials: number };
  /** Options of every run, and of methods: those go to each method that has them. */
  options: Readonly<Record<string, unknown>>;
}

/** Runs that differ in nothing but their seed. */
export interface Setting {
  task: string;
  method: string;
  rank?: number;
  /** Options of a run but its seed and its folder. */
  config: Readonly<Record<string, unknown>>;
}

export interface Plan {
  settings: Setting[];
  /** What the reader of the numbers must know: where a published setting is missing. */
  notes: string[];
}

/** Share of the training examples on which trials are evaluated; the rest trains. */
const HELD_OUT = 0.2;

/** Own examples' task, in folder names. */
const OWN_TASK = "custom";

/**
 * Lays out all runs of a comparison and checks everything about them that can be known before the first one starts.
 * @throws UserError where a method, task, option, layer pattern, rank or schedule cannot work
 */
export async function planComparison(comparison: ComparisonOptions): Promise<Plan> {
  const { methods, tasks, ranks, seeds, search, preset } = comparison;
  if (methods.length === 0) throw new UserError("which methods are to be compared? Name them with --methods");
  if (seeds.length === 0) throw new UserError("give at least one seed with --seeds");
  if (search && preset) throw new UserError("--search looks for learning rates that --preset gives; give one of both");
  const definitions = methods.map(findMethod);
  const given = separate(comparison.options, definitions);
  if (search) checkSearchable(given.run);
  const notes: string[] = [];
  const settings: Setting[] = [];
  for (const task of tasks.length > 0 ? tasks : [undefined]) {
    for (const definition of definitions) {
      const { name: method, options } = definition;
      const own = Object.fromEntries(Object.entries(given.methods).filter(([key]) => key in options.shape));
      const published = preset && publishedSetting(definition, task, notes);
      const ranksHere = "rank" in options.shape && ranks.length > 0 ? ranks : [undefined];
      for (const rank of ranksHere) {
        const ranked = rank === undefined ? {} : { rank };
        const config = { ...published, ...given.run, ...own, ...ranked, method, ...(task !== undefined && { task }) };
        settings.push({ task: folderName(task), method, ...ranked, config });
      }
    }
  }
  await checkSettings(settings, seeds[0]!, search !== undefined);
  for (const setting of settings) {
    // As far as a search can go from the recipe.
    const reach = (search?.trials ?? 0) - 1;
    for (let place = -reach; place <= reach; place++) {
      const { directory, config } = trialAt(setting, comparison, place);
      await checkFolder(directory, config);
    }
    for (const seed of seeds) {
      const found = search ? ["learningRate", "headLearningRate"] : [];
      await checkFolder(runFolder(comparison.output, setting, seed), { ...setting.config, seed }, found);
    }
  }
  return { settings, notes };
}

/** `rte/aflora-r4-s1` in the comparison's folder. */
export function runFolder(output: string, { task, method, rank }: Setting, seed: number): string {
  return join(output, task, `${settingName({ method, rank })}-s${seed}`);
}

/** `aflora-r4`, or `aflora` where ranks are not compared. */
export function settingName({ method, rank }: { method: string; rank?: number | undefined }): string {
  return rank === undefined ? method : `${method}-r${rank}`;
}

/** A run on a split of the training data, with a learning rate to try. */
export interface TrialRun {
  directory: string;
  config: Record<string, unknown> & { learningRate: number; headLearningRate: number };
}

/**
 * A trial of a setting on the training data split by the first seed, with a learning rate `place` half decades above the
 * recipe's; the head's rate moves along.
 */
export function trialAt(setting: Setting, { output, seeds }: ComparisonOptions, place: number): TrialRun {
  const config = trialConfig(setting, seeds[0]!);
  const { run: recipe } = resolveConfig(config);
  // Rounded, so that the rates read well in folder names and tables.
  const scaled = (rate: number): number => Number((rate * 10 ** (place / 2)).toPrecision(2));
  const learningRate = scaled(recipe.learningRate);
  const headLearningRate = scaled(recipe.headLearningRate);
  return {
    directory: join(output, setting.task, "search", `${settingName(setting)}-lr${learningRate}`),
    config: { ...config, learningRate, headLearningRate },
  };
}

/** What a trial came to on the held-out part: the task's first metric at its best epoch, and the lowest loss of an epoch. */
export interface TrialScore {
  metric: string;
  score: number;
  loss: number;
}

/** Scores by place, in the order of trying; absent where a trial failed. */
export type TrialScores = ReadonlyMap<number, Partial<TrialScore>>;

/** The best-scored place; of equals the one with the lower loss, then the first. Undefined where all trials failed. */
export function bestPlace(scores: TrialScores): number | undefined {
  const finished = [...scores].filter((scored): scored is [number, TrialScore] => scored[1].score !== undefined);
  return finished.toSorted(([, a], [, b]) => byScore(a.metric)(a.score, b.score) || a.loss - b.loss)[0]?.[0];
}

/**
 * Which place to try next: the recipe's, 0, then the untried one nearest the best so far, of two the higher; below them
 * all where all failed.
 */
export function nextPlace(scores: TrialScores): number {
  if (scores.size === 0) return 0;
  const best = bestPlace(scores);
  if (best === undefined) return Math.min(...scores.keys()) - 1;
  let distance = 1;
  while (scores.has(best + distance) && scores.has(best - distance)) distance++;
  return scores.has(best + distance) ? best - distance : best + distance;
}

/** The validation data stays unseen: a part of the training data takes its place. */
function trialConfig({ config }: Setting, seed: number): Record<string, unknown> {
  const { validation: _, ...rest } = config;
  return { ...rest, seed, validationSplit: HELD_OUT };
}

function folderName(task: string | undefined): string {
  return task === undefined ? OWN_TASK : glueTaskName(task);
}

/** Options of runs and options of methods; one that no method here has is refused. */
function separate(options: Readonly<Record<string, unknown>>, definitions: readonly MethodDefinition[]) {
  const run: Record<string, unknown> = {};
  const methods: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (optionOfRun(key)) run[key] = value;
    else if (definitions.some(({ options }) => key in options.shape)) methods[key] = value;
    else refuse(key, definitions);
  }
  return { run, methods };
}

/** The learning rates must be open, and so must the part of the training data to judge them on. */
function checkSearchable(run: Readonly<Record<string, unknown>>): void {
  for (const key of ["learningRate", "headLearningRate", "validationSplit"]) {
    if (key in run) throw new UserError(`--search chooses ${key} itself; leave it out`);
  }
}

function refuse(key: string, definitions: readonly MethodDefinition[]): never {
  const names = definitions.map(({ name }) => name).join(", ");
  const owners = METHODS.ownersOf(key);
  throw new UserError(
    owners.length > 0
      ? `option "${key}" belongs to ${owners.join(" and ")}, not to the methods compared here (${names})`
      : `unknown option "${key}"`,
  );
}

/** A method's published setting of a task; notes what is not published. The classifier's matrix alone trains in the head. */
function publishedSetting(
  { name: method, published }: MethodDefinition,
  task: string | undefined,
  notes: string[],
): Record<string, unknown> {
  const setting = task === undefined ? undefined : published?.tasks[folderName(task)];
  if (setting) {
    const note = `${method}: settings of ${published!.source}`;
    if (!notes.includes(note)) notes.push(note);
    return publishedOptions(setting);
  }
  notes.push(`${method} on ${folderName(task)}: no published setting; aflora's defaults are used`);
  return { head: "classifier" };
}

/** Options, data, layers, ranks and schedules of every setting, without weights. */
async function checkSettings(settings: readonly Setting[], seed: number, search: boolean): Promise<void> {
  const examples = new Map<string, number>();
  const checker = new RunChecker();
  for (const setting of settings) {
    const { task } = setting;
    const config = resolveConfig({ ...(search ? trialConfig(setting, seed) : setting.config), seed });
    if (!examples.has(task)) {
      const data = await loadTask(config, { offline: config.run.offline });
      if (search) await checkApart(setting, seed, data);
      examples.set(task, data.train.length);
    }
    await checker.check(config, examples.get(task)!);
  }
}

/** The runs must train on all that a trial is given: what they hold out themselves would have chosen their learning rate. */
async function checkApart({ config }: Setting, seed: number, { train, validation }: TaskData): Promise<void> {
  const resolved = resolveConfig({ ...config, seed });
  const { train: all } = await loadTask(resolved, { offline: resolved.run.offline });
  if (train.length + validation[0]!.examples.length > all.length) {
    throw new UserError(
      "--search splits the training data, so that it needs other data to compare on: give --validation FILE, or a data set with a validation split",
    );
  }
}

/**
 * A run that is there already must be the run that is asked for.
 * @param open options that are yet to be chosen
 * @throws UserError where it is another one
 */
export async function checkFolder(
  directory: string,
  config: Readonly<Record<string, unknown>>,
  open: readonly string[] = [],
): Promise<void> {
  if (!existsSync(join(directory, "config.json"))) return;
  const saved = flatOptions(withAbsolutePaths((await readRunRecords(directory)).config));
  const resolved = withAbsolutePaths(resolveConfig(config));
  const { model = BUNDLED_MODEL } = resolved.run;
  // A model of the hub is saved without the revision that its name may carry.
  const wanted: Record<string, unknown> = {
    ...flatOptions(resolved),
    model: existsSync(model) ? model : model.replace(/@.*$/, ""),
  };
  for (const key of new Set([...Object.keys(saved), ...Object.keys(wanted)])) {
    const [before, now] = [JSON.stringify(saved[key]), JSON.stringify(wanted[key])];
    if (before === now || key === "revision" || MAY_DIFFER.includes(key) || open.includes(key)) continue;
    throw new UserError(
      `${directory} holds a run with ${key} ${before ?? "not given"}, not ${now ?? "left out"}; choose another --output, or remove that folder`,
    );
  }
}
