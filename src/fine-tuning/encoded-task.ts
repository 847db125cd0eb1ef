import { UserError } from "../errors.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { HeadName } from "../models/architecture.ts";
import type { TaskData } from "../tasks/example.ts";
import { trainingExamples, withTargets } from "../tasks/examples.ts";
import { classWeightsOf } from "../tasks/losses/class-weights.ts";
import { findTaskKind, withTaskOptions } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "../training/evaluation/evaluate.ts";
import type { FineTuningSettings } from "./training-options.ts";

/**
 * A task's examples as the model reads them. Each split is encoded once: the notes about long texts, the fitted head, training,
 * evaluation, calibration and the refit share it. Examples in which nothing counts for the loss are left out.
 */
export interface EncodedTask {
  /** The task with every option of its kind. */
  task: TaskData;
  /** Number of tokens after which examples are cut. */
  maxLength: number;
  train: EncodedSplit;
  validation: readonly EncodedSplit[];
  /** Notes on training examples that were shortened or left out. */
  notes: readonly string[];
}

/** The parts of a model that decide how it reads texts. */
type TextReader = Pick<BaseModel, "config" | "pooling" | "tokenizer">;

/**
 * Encodes all splits of a task.
 * @throws UserError if nothing that counts is left of any example of a split, or an option does not suit the task
 */
export function encodeTask(
  given: TaskData,
  model: TextReader,
  settings: Pick<FineTuningSettings, "maxLength" | "taskOptions">,
): EncodedTask {
  const task = withTaskOptions(given, settings.taskOptions, model.config);
  const kind = findTaskKind(task.kind);
  const maxLength = lengthLimit(model, kind.head, settings.maxLength);
  const encode = (name: string, examples: EncodedSplit["examples"], classWeights?: readonly number[]): EncodedSplit =>
    withoutEmpty(
      { name, examples, encoded: trainingExamples(task, examples, model.tokenizer, maxLength, classWeights) },
      maxLength,
    );
  const train = encode("training", task.train, classWeightsOf(kind, task));
  const validation = task.validation.map(({ name, examples }) => encode(name, examples));
  return { task, maxLength, train, validation, notes: cutNotes(task.train.length, train, maxLength) };
}

/**
 * Moves the validation examples behind the training examples, so that all of them are trained on. Encodings are reused; targets and
 * class weights are those of the larger split.
 */
export function trainOnAll({ task, train, validation, ...rest }: EncodedTask): EncodedTask {
  const splits = [train, ...validation];
  const examples = splits.flatMap((split) => split.examples).map((example, index) => ({ ...example, index }));
  const encodings = splits.flatMap((split) => split.encoded).map((encoded, index) => ({ ...encoded, index }));
  const all = { ...task, train: examples };
  const encoded = withTargets(all, examples, encodings, classWeightsOf(findTaskKind(task.kind), all));
  return { ...rest, task: all, train: { name: train.name, examples, encoded }, validation };
}

/** Number of tokens after which texts are cut: the setting, but no more than the model reads. Pictures are never cut. */
function lengthLimit({ pooling, config }: TextReader, head: HeadName, maxLength: number): number {
  if (config.picture) return config.maxLength;
  const ofPooling = (head === "pooled" && pooling?.maxLength) || maxLength;
  return Math.min(maxLength, config.maxLength, ofPooling);
}

/** Removes examples in which nothing counts for the loss. @throws UserError if none is left */
function withoutEmpty({ name, examples, encoded }: EncodedSplit, maxLength: number): EncodedSplit {
  const isLeft = (i: number): boolean => encoded[i]!.cut === undefined || encoded[i]!.rows!.length > 0;
  const left = { name, examples: examples.filter((_, i) => isLeft(i)), encoded: encoded.filter((_, i) => isLeft(i)) };
  if (left.encoded.length > 0 || examples.length === 0) return left;
  throw new UserError(
    `none of the ${examples.length} ${name} examples has anything left that counts with --max-length ${maxLength}; raise it`,
  );
}

/** Notes on how many of `all` training examples were cut, and how many left out. */
function cutNotes(all: number, { encoded }: EncodedSplit, maxLength: number): string[] {
  const cut = encoded.filter(({ cut: isCut, encoding }) => isCut ?? encoding.cut).length;
  const left = all - encoded.length;
  const of = `of ${all} training examples`;
  return [
    ...(cut > 0 ? [`${cut} ${of} are longer than ${maxLength} tokens and are shortened to that (--max-length)`] : []),
    ...(left > 0 ? [`${left} ${of} have nothing that counts within ${maxLength} tokens and are left out`] : []),
  ];
}
