import { didYouMean, UserError } from "../errors.ts";
import type { HeadName } from "../models/architecture.ts";
import type { TaskData } from "./example.ts";
import { type ClassifiedText, classification } from "./kinds/classification.ts";
import { type EmbeddedText, embedding } from "./kinds/embedding.ts";
import { languageModel } from "./kinds/language-model.ts";
import { type MultiLabelledText, multiLabel } from "./kinds/multi-label.ts";
import { regression, type ScoredText } from "./kinds/regression.ts";
import { type RerankedText, reranker } from "./kinds/reranker.ts";
import { sequenceToSequence } from "./kinds/sequence-to-sequence.ts";
import { type TaggedText, tokenClassification } from "./kinds/token-classification.ts";
import type { Objective } from "./losses/objective.ts";
import { type Columns, columnOf, type Table } from "./rows.ts";
import type { GivenTaskOptions, ModelSize, TaskKind } from "./task-kind.ts";
import { wholeText } from "./whole-text.ts";
import type { TextLikelihood } from "./written-tokens.ts";

/** What a model says of one text, as its kind of task describes it; a kind of the caller's own may say something else. */
export type TextPrediction = Partial<
  ClassifiedText & ScoredText & MultiLabelledText & TaggedText & TextLikelihood & EmbeddedText & RerankedText
>;

/** Every kind of task: a new one is one file and one line here. */
export const TASK_KINDS: readonly TaskKind<TextPrediction>[] = [
  classification,
  regression,
  multiLabel,
  tokenClassification,
  languageModel,
  sequenceToSequence,
  embedding,
  reranker,
];

export const TASK_KIND_NAMES: readonly string[] = TASK_KINDS.map(({ name }) => name);

const registered: TaskKind<TextPrediction>[] = [];

const known = (): TaskKind<TextPrediction>[] => [...TASK_KINDS, ...registered];

/**
 * Makes a kind of task of the caller's own known by its name, to this process: runs take it, and adapters trained for it
 * can be read.
 * @throws UserError where the name is taken, or a metric of it is known with another direction.
 */
export function registerTaskKind(kind: TaskKind): void {
  for (const { name, metrics } of known()) {
    if (name === kind.name) {
      throw new UserError(`there is a task kind "${name}" already; give the new one another name`);
    }
    // Records of runs know a metric by its name alone.
    for (const [metric, { higherIsBetter }] of Object.entries(kind.metrics)) {
      if (metrics[metric] && metrics[metric].higherIsBetter !== higherIsBetter) {
        throw new UserError(
          `task kind "${kind.name}": of the metric "${metric}" a ${higherIsBetter ? "lower" : "higher"} value is better in "${name}"; give it another name`,
        );
      }
    }
  }
  registered.push(kind);
}

/**
 * @param where what names the kind, for the error message
 * @throws UserError where there is no such kind, with the list of those that are.
 */
export function findTaskKind(name: string, where?: string): TaskKind<TextPrediction> {
  const kind = known().find((candidate) => candidate.name === name);
  if (kind) return kind;
  const names = known().map((each) => each.name);
  throw new UserError(
    `${where ? `${where}: ` : ""}unknown task kind "${name}"${didYouMean(name, names)} (kinds: ${names.join(", ")})`,
  );
}

/**
 * The task with its kind's settings, as they are given or by default.
 * @throws UserError where a setting is given that does not go with the task.
 */
export function withTaskOptions(task: TaskData, settings: GivenTaskOptions, model: ModelSize): TaskData {
  const { takes = [], optionsFor } = findTaskKind(task.kind);
  const given = known().flatMap((kind) =>
    (kind.takes ?? []).filter((name) => settings[name] !== undefined && settings[name] !== false),
  );
  const other = given.find((name) => !takes.includes(name));
  if (other !== undefined) {
    const flag = other.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const kinds = known().filter((kind) => kind.takes?.includes(other));
    throw new UserError(
      `--${flag} is for the kind ${kinds.map(({ name }) => name).join(" or ")}, and the task is ${task.kind}; leave it out`,
    );
  }
  return optionsFor ? { ...task, options: optionsFor(settings, task, model) } : task;
}

/** Names of the kinds that are for one kind of model alone. */
export const kindsForModel = (model: TaskKind["modelKind"]): string[] =>
  known().flatMap(({ name, modelKind }) => (modelKind === model ? [name] : []));

/** What a task minimises: as its own settings say, or its kind. */
export function objectiveOf({ kind: name, options = {} }: Pick<TaskData, "kind" | "options">): Objective {
  const kind = findTaskKind(name);
  return kind.objectiveFor?.(options) ?? kind.objective;
}

/** Kinds that can be told where nobody names them, in the order in which they are tried. */
function recognizable() {
  return known()
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
  return known().find(({ huggingFace }) => huggingFace.peftTaskType === taskType)?.head ?? wholeText.head;
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
  throw new UserError(`no kind of task is known whose model has a ${head} head of ${outputs.length} outputs`);
}

/** Every known metric, and whether a higher value of it is better. */
export function metricDirections(): ReadonlyMap<string, boolean> {
  return new Map(
    known().flatMap(({ metrics }) =>
      Object.entries(metrics).map(([name, { higherIsBetter }]) => [name, higherIsBetter] as const),
    ),
  );
}
