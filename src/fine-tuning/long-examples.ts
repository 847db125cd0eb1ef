import { UserError } from "../errors.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { HeadName } from "../models/architecture.ts";
import type { TaskData } from "../tasks/example.ts";
import { trainingExamples } from "../tasks/examples.ts";
import { findTaskKind, withTaskOptions } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "../training/evaluation/evaluate.ts";
import type { FineTuningSettings } from "./training-options.ts";

/** What of a model says how long its texts may be. */
interface ReadTexts extends Pick<BaseModel, "pooling" | "config"> {
  head: HeadName;
}

/** Tokens after which texts are cut: as the settings say, but no more than the model reads. Of a picture none is cut. */
export function textLength({ head, pooling, config }: ReadTexts, { maxLength }: FineTuningSettings): number {
  if (config.picture) return config.maxLength;
  const ofPooling = (head === "pooled" && pooling?.maxLength) || maxLength;
  return Math.min(maxLength, config.maxLength, ofPooling);
}

/**
 * What is to be known of the lengths of a task's training examples, by the model's tokenizer alone.
 * @throws UserError where nothing that counts is left of any.
 */
export function lengthNotes(
  model: Pick<BaseModel, "config" | "pooling" | "tokenizer">,
  given: TaskData,
  settings: FineTuningSettings,
): string[] {
  if (findTaskKind(given.kind).reads) return [];
  const task = withTaskOptions(given, settings.taskOptions, model.config);
  const maxLength = textLength({ ...model, head: findTaskKind(task.kind).head }, settings);
  const encoded = trainingExamples(task, task.train, model.tokenizer, maxLength);
  const split = { name: "training", examples: task.train, encoded };
  return cutNotes(task.train.length, withoutEmpty(split, `with --max-length ${maxLength}`), maxLength);
}

/**
 * A split without examples that teach nothing.
 * @param how it was encoded, for error messages
 * @throws UserError where none is left.
 */
export function withoutEmpty({ name, examples, encoded }: EncodedSplit, how: string): EncodedSplit {
  const isLeft = (i: number): boolean => encoded[i]!.cut === undefined || encoded[i]!.rows!.length > 0;
  const left = { name, examples: examples.filter((_, i) => isLeft(i)), encoded: encoded.filter((_, i) => isLeft(i)) };
  if (left.encoded.length > 0 || examples.length === 0) return left;
  throw new UserError(`none of the ${examples.length} ${name} examples has anything left that counts ${how}; raise it`);
}

/** How many training examples were cut, and how many left out. @param all their number before */
export function cutNotes(all: number, { encoded }: EncodedSplit, maxLength: number): string[] {
  const cut = encoded.filter(({ cut: isCut, encoding }) => isCut ?? encoding.cut).length;
  const left = all - encoded.length;
  const of = `of ${all} training examples`;
  return [
    ...(cut > 0 ? [`${cut} ${of} are longer than ${maxLength} tokens and are shortened to that (--max-length)`] : []),
    ...(left > 0 ? [`${left} ${of} have nothing that counts within ${maxLength} tokens and are left out`] : []),
  ];
}
