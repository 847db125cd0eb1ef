import { z } from "zod";
import type { KindHead } from "../architectures/architecture.ts";
import { nameOfHead } from "../architectures/heads.ts";
import { checkOptions, opt, UserError } from "../errors.ts";
import { Registry } from "../registry.ts";
import { BUILT_IN_KINDS, type TextPrediction } from "./built-in-kinds.ts";
import type { TaskData } from "./example.ts";
import type { Objective } from "./losses/objective.ts";
import type { Media } from "./media.ts";
import { type Columns, columnOf, type Table } from "./rows.ts";
import type { ModelSize, TaskKind } from "./task-kind.ts";
import { wholeText } from "./whole-text.ts";

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

export const findTaskKind = (name: string, where?: string): TaskKind<TextPrediction> => TASK_KINDS.find(name, where);

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

export function withTaskOptions(task: TaskData, given: Readonly<Record<string, unknown>>, model: ModelSize): TaskData {
  const kind = findTaskKind(task.kind);
  const parsed = TASK_KINDS.parseOptions(kind, given);
  const options = kind.optionsFor?.(parsed, task, model) ?? { ...task.options, ...parsed };
  return Object.keys(options).length > 0 ? { ...task, options } : task;
}

export function taskWithTemperature<Task extends { kind: string; options?: TaskData["options"] | undefined }>(
  task: Task,
  temperature: number,
): Task {
  const { threshold } = findTaskKind(task.kind);
  return task.options && threshold ? { ...task, options: threshold.withTemperature(task.options, temperature) } : task;
}

export function embeddingKind(media?: Media): TaskKind<TextPrediction> {
  return TASK_KINDS.all.find(({ retrieval, reads }) => retrieval?.by === "vectors" && reads === media)!;
}

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

function recognizable() {
  return TASK_KINDS.all
    .flatMap((kind) => (kind.recognition ? [{ kind, ...kind.recognition }] : []))
    .sort((a, b) => a.order - b.order);
}

export function recognizeColumns(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> | undefined {
  if (given.text !== undefined || given.label !== undefined) return undefined;
  return recognizable().find(({ fitsColumns }) => fitsColumns?.(table))?.kind;
}

export function recognizeTable(table: Table, given: Partial<Columns>): TaskKind<TextPrediction> {
  const own = recognizeColumns(table, given);
  if (own) return own;
  const [texts, labels] = [columnOf(table, given.text ?? "text"), columnOf(table, given.label ?? "label")];
  return recognizable().find(({ fitsRows }) => fitsRows(texts, labels))!.kind;
}

/** Head for PEFT's type of task; that for whole texts if the type is none of ours. */
export function headOfPeftTask(taskType: string | null | undefined): KindHead {
  return TASK_KINDS.all.find(({ huggingFace }) => huggingFace.peftTaskType === taskType)?.head ?? wholeText.head;
}

export function recognizeHead(
  head: KindHead,
  outputs: readonly string[],
  problemType: string | null | undefined,
  model?: TaskKind["modelKind"],
): { kind: TaskKind<TextPrediction>; labels: string[] } {
  for (const { kind, labelsOfHead } of recognizable()) {
    const fits = kind.modelKind === undefined || model === undefined || kind.modelKind === model;
    const labels = fits && kind.head === head ? labelsOfHead(outputs, problemType) : undefined;
    if (labels) return { kind, labels };
  }
  throw new UserError(`no kind of task has a model with a ${nameOfHead(head)} head of ${outputs.length} outputs`);
}

export function metricDirections(): ReadonlyMap<string, boolean> {
  return new Map(
    TASK_KINDS.all.flatMap(({ metrics }) =>
      Object.entries(metrics).map(([name, { higherIsBetter }]) => [name, higherIsBetter] as const),
    ),
  );
}
