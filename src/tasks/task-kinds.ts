import { z } from "zod";
import type { HeadName } from "../architectures/architecture.ts";
import { checkOptions, opt, UserError } from "../errors.ts";
import { Registry } from "../registry.ts";
import { BUILT_IN_KINDS, type TextPrediction } from "./built-in-kinds.ts";
import type { TaskData } from "./example.ts";
import type { Objective } from "./losses/objective.ts";
import type { Media } from "./media.ts";
import { type Columns, columnOf, type Table } from "./rows.ts";
import type { ModelSize, TaskKind } from "./task-kind.ts";
import { wholeText } from "./whole-text.ts";

/** Every kind of task: the package's kinds, and those that a program registers. */
export const TASK_KINDS = new Registry<TaskKind<TextPrediction>>("task kind", Object.values(BUILT_IN_KINDS));

/**
 * Registers a kind of task in this process by its name: runs can use it, and adapters trained for it
 * can be read.
 * @throws UserError if the name is taken, or one of its metrics is known with another direction.
 * @example
 * ```ts
 * registerTaskKind(ordinalRegression); // docs/extending.md writes it
 * ```
 */
export function registerTaskKind(kind: TaskKind): void {
  // Records of runs identify a metric only by its name.
  for (const [metric, { higherIsBetter }] of Object.entries(kind.metrics)) {
    const other = TASK_KINDS.all.find(({ metrics }) => metrics[metric]?.higherIsBetter === !higherIsBetter);
    if (other === undefined) continue;
    throw new UserError(
      `task kind "${kind.name}": a ${higherIsBetter ? "lower" : "higher"} value of the metric "${metric}" is better in "${other.name}"; give it another name`,
    );
  }
  TASK_KINDS.register(kind);
}

/**
 * @param where source of the name, for the error message
 * @throws UserError if there is no such kind, with a list of the kinds.
 */
export const findTaskKind = (name: string, where?: string): TaskKind<TextPrediction> => TASK_KINDS.find(name, where);

/**
 * Checks task options: those of the named kind, or of any kind if the kind is not known yet.
 * @throws UserError naming an option that is malformed, or belongs to another kind than the named one.
 */
export function checkTaskOptions(given: Readonly<Record<string, unknown>>, kind: string | undefined): void {
  if (kind !== undefined) {
    TASK_KINDS.parseOptions(findTaskKind(kind, opt("kind")), given);
    return;
  }
  for (const [name, value] of Object.entries(given)) {
    const takes = ({ options }: TaskKind): boolean => options?.shape[name]?.safeParse(value).success === true;
    if (!TASK_KINDS.all.some(takes)) checkOptions(z.object({ [name]: TASK_KINDS.schemaOf(name)! }), { [name]: value });
  }
}

/**
 * Returns the task with the options of its kind, given or by default.
 * @throws UserError if a given option does not fit the task.
 */
export function withTaskOptions(task: TaskData, given: Readonly<Record<string, unknown>>, model: ModelSize): TaskData {
  const kind = findTaskKind(task.kind);
  const parsed = TASK_KINDS.parseOptions(kind, given);
  const options = kind.optionsFor?.(parsed, task, model) ?? { ...task.options, ...parsed };
  return Object.keys(options).length > 0 ? { ...task, options } : task;
}

/** Returns the task with options adjusted to outputs that are divided by a temperature. */
export function taskWithTemperature<Task extends { kind: string; options?: TaskData["options"] | undefined }>(
  task: Task,
  temperature: number,
): Task {
  const { threshold } = findTaskKind(task.kind);
  return task.options && threshold ? { ...task, options: threshold.withTemperature(task.options, temperature) } : task;
}

/** The kind that embeds texts, or pictures. */
export function embeddingKind(media?: Media): TaskKind<TextPrediction> {
  return TASK_KINDS.all.find(({ head, reads }) => head === "pooled" && reads === media)!;
}

/** Names of the kinds that require this kind of model. */
export const kindsForModel = (model: TaskKind["modelKind"]): string[] =>
  TASK_KINDS.all.flatMap(({ name, modelKind }) => (modelKind === model ? [name] : []));

/** Objective of a task: for its options, or its kind's default if it has none, as for a model that was not fine-tuned. */
export function objectiveOf({
  kind: name,
  options,
}: {
  kind: string;
  options?: TaskData["options"] | undefined;
}): Objective {
  const kind = findTaskKind(name);
  return (options && kind.objectiveFor?.(options)) ?? kind.objective;
}

/** Kinds that can be recognized without a name, in the order in which they are tried. */
function recognizable() {
  return TASK_KINDS.all
    .flatMap((kind) => (kind.recognition ? [{ kind, ...kind.recognition }] : []))
    .sort((a, b) => a.order - b.order);
}

/** Kind of task that a table's column names identify; undefined if they do not, or if columns were named. */
export function recognizeColumns(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> | undefined {
  if (given.text !== undefined || given.label !== undefined) return undefined;
  return recognizable().find(({ fitsColumns }) => fitsColumns?.(table))?.kind;
}

/**
 * Kind of task that a table's column names or, failing that, its rows identify.
 * @throws UserError if a column is missing.
 */
export function recognizeTable(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> {
  const own = recognizeColumns(table, given);
  if (own) return own;
  const [texts, labels] = [columnOf(table, given.text ?? "text"), columnOf(table, given.label ?? "label")];
  return recognizable().find(({ fitsRows }) => fitsRows(texts, labels))!.kind;
}

/** Head for PEFT's type of task; that for whole texts if the type is none of ours. */
export function headOfPeftTask(taskType: string | null | undefined): HeadName {
  return TASK_KINDS.all.find(({ huggingFace }) => huggingFace.peftTaskType === taskType)?.head ?? wholeText.head;
}

/**
 * Kind of task and labels that a checkpoint's head identifies.
 * @param outputs names of the head's outputs
 * @param problemType from config.json
 * @param model kind of the head's model, if it is known
 * @throws UserError if no kind fits.
 */
export function recognizeHead(
  head: HeadName,
  outputs: readonly string[],
  problemType: string | null | undefined,
  model?: TaskKind["modelKind"],
): { kind: TaskKind<TextPrediction>; labels: string[] } {
  for (const { kind, labelsOfHead } of recognizable()) {
    const fits = kind.modelKind === undefined || model === undefined || kind.modelKind === model;
    const labels = fits && kind.head === head ? labelsOfHead(outputs, problemType) : undefined;
    if (labels) return { kind, labels };
  }
  throw new UserError(`no kind of task has a model with a ${head} head of ${outputs.length} outputs`);
}

/** All known metrics, with whether a higher value is better. */
export function metricDirections(): ReadonlyMap<string, boolean> {
  return new Map(
    TASK_KINDS.all.flatMap(({ metrics }) =>
      Object.entries(metrics).map(([name, { higherIsBetter }]) => [name, higherIsBetter] as const),
    ),
  );
}
