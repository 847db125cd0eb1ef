import { z } from "zod";
import { checkOptions, UserError } from "../errors.ts";
import type { HeadName } from "../models/architecture.ts";
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
 * Makes a kind of task of the caller's own known by its name, to this process: runs take it, and adapters trained for it
 * can be read.
 * @throws UserError where the name is taken, or a metric of it is known with another direction.
 */
export function registerTaskKind(kind: TaskKind): void {
  // Records of runs know a metric by its name alone.
  for (const [metric, { higherIsBetter }] of Object.entries(kind.metrics)) {
    const other = TASK_KINDS.all.find(({ metrics }) => metrics[metric]?.higherIsBetter === !higherIsBetter);
    if (other === undefined) continue;
    throw new UserError(
      `task kind "${kind.name}": of the metric "${metric}" a ${higherIsBetter ? "lower" : "higher"} value is better in "${other.name}"; give it another name`,
    );
  }
  TASK_KINDS.register(kind);
}

/**
 * @param where what names the kind, for the error message
 * @throws UserError where there is no such kind, with the list of those that are.
 */
export const findTaskKind = (name: string, where?: string): TaskKind<TextPrediction> => TASK_KINDS.find(name, where);

/**
 * Checks options of kinds of task: of the one that is named, or before it is known which kind the task is of.
 * @throws UserError naming the option that is malformed, or of another kind than the one that is named.
 */
export function checkTaskOptions(given: Readonly<Record<string, unknown>>, kind: string | undefined): void {
  if (kind !== undefined) {
    TASK_KINDS.parseOptions(findTaskKind(kind, 'option "kind"'), given);
    return;
  }
  for (const [name, value] of Object.entries(given)) {
    const takes = ({ options }: TaskKind): boolean => options?.shape[name]?.safeParse(value).success === true;
    if (!TASK_KINDS.all.some(takes)) checkOptions(z.object({ [name]: TASK_KINDS.schemaOf(name)! }), { [name]: value });
  }
}

/**
 * The task with its kind's own options, as they are given or by default.
 * @throws UserError where an option is given that does not go with the task.
 */
export function withTaskOptions(task: TaskData, given: Readonly<Record<string, unknown>>, model: ModelSize): TaskData {
  const kind = findTaskKind(task.kind);
  const parsed = TASK_KINDS.parseOptions(kind, given);
  const options = kind.optionsFor?.(parsed, task, model) ?? { ...task.options, ...parsed };
  return Object.keys(options).length > 0 ? { ...task, options } : task;
}

/** A task whose options hold once a model's outputs are divided by a temperature. */
export function cooledTask<Task extends { kind: string; options?: TaskData["options"] | undefined }>(
  task: Task,
  temperature: number,
): Task {
  const { threshold } = findTaskKind(task.kind);
  return task.options && threshold ? { ...task, options: threshold.cooled(task.options, temperature) } : task;
}

/** The kind that embeds texts, or pictures. */
export function embeddingKind(media?: Media): TaskKind<TextPrediction> {
  return TASK_KINDS.all.find(({ head, reads }) => head === "pooled" && reads === media)!;
}

/** Names of the kinds that are for one kind of model alone. */
export const kindsForModel = (model: TaskKind["modelKind"]): string[] =>
  TASK_KINDS.all.flatMap(({ name, modelKind }) => (modelKind === model ? [name] : []));

/** What a task minimises: as its own settings say, or its kind where it has none, as of a model that was not fine-tuned. */
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

/** Kinds that can be told where nobody names them, in the order in which they are tried. */
function recognizable() {
  return TASK_KINDS.all
    .flatMap((kind) => (kind.recognition ? [{ kind, ...kind.recognition }] : []))
    .sort((a, b) => a.order - b.order);
}

/** The kind of task that a table's columns say it is for by their names alone, where nobody gave names and they do. */
export function recognizeColumns(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> | undefined {
  if (given.text !== undefined || given.label !== undefined) return undefined;
  return recognizable().find(({ fitsColumns }) => fitsColumns?.(table))?.kind;
}

/**
 * The kind of task that a table says it is for, by its columns' names or else by its rows.
 * @throws UserError where a column is missing.
 */
export function recognizeTable(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> {
  const own = recognizeColumns(table, given);
  if (own) return own;
  const [texts, labels] = [columnOf(table, given.text ?? "text"), columnOf(table, given.label ?? "label")];
  return recognizable().find(({ fitsRows }) => fitsRows(texts, labels))!.kind;
}

/** What a head gives outputs whose adapter PEFT says is for this type of task; whole texts, where it says none of ours. */
export function headOfPeftTask(taskType: string | null | undefined): HeadName {
  return TASK_KINDS.all.find(({ huggingFace }) => huggingFace.peftTaskType === taskType)?.head ?? wholeText.head;
}

/**
 * The kind of task and the labels that a checkpoint's head says it is for.
 * @param outputs names of the head's outputs
 * @param problemType as config.json has it
 * @param model the kind of model that it is a head of, where that is known
 * @throws UserError where it says nothing of the kind.
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

/** Every known metric, and whether a higher value of it is better. */
export function metricDirections(): ReadonlyMap<string, boolean> {
  return new Map(
    TASK_KINDS.all.flatMap(({ metrics }) =>
      Object.entries(metrics).map(([name, { higherIsBetter }]) => [name, higherIsBetter] as const),
    ),
  );
}
