import { UserError } from "../errors.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { HeadName } from "../models/architecture.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { trainingExamples, withTargets } from "../tasks/examples.ts";
import { LazyList, type List, MOST_KEPT, picked } from "../tasks/list.ts";
import { classWeightsOf } from "../tasks/losses/class-weights.ts";
import { samplePlaces } from "../tasks/split.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind, withTaskOptions } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "../training/evaluation/evaluate.ts";
import { Turns } from "../training/linear-head/turns.ts";
import type { TellDone } from "../training/progress.ts";
import type { FineTuningSettings } from "./training-options.ts";

/** Examples as read and as encoded, in the same order. Those of a large split are encoded each time that they are read. */
interface EncodedExamples {
  examples: List<Example>;
  encoded: List<TrainingExample>;
}

/**
 * A task's examples as the model reads them. The notes about long texts, the fitted head, training, evaluation, calibration and the
 * refit share them. Examples in which nothing counts for the loss are left out.
 */
export interface EncodedTask {
  /** The task with every option of its kind. */
  task: TaskData;
  /** Number of tokens after which examples are cut. */
  maxLength: number;
  train: EncodedExamples;
  /** The training examples, or a part that is enough for what looks at them without training on them. */
  sample: EncodedSplit;
  validation: readonly EncodedSplit[];
  /** Notes on training examples that were shortened or left out. */
  notes: readonly string[];
}

/** The parts of a model that decide how it reads texts. */
type TextReader = Pick<BaseModel, "config" | "pooling" | "tokenizer">;

/** Training examples, and those of each class, that are enough for the fitted head and for what else looks at them. */
const SAMPLE = 20_000;
const SAMPLE_A_CLASS = 50;

/** Examples that are encoded without giving way to other events. */
const AT_ONCE = 50;

/**
 * Encodes all splits of a task.
 * @throws the signal's reason; UserError if nothing that counts is left of any example of a split, or an option does not suit the task
 */
export async function encodeTask(
  given: TaskData,
  model: TextReader,
  settings: Pick<FineTuningSettings, "maxLength" | "taskOptions">,
  { signal, onDone }: { signal?: AbortSignal | undefined; onDone?: TellDone } = {},
): Promise<EncodedTask> {
  const task = withTaskOptions(given, settings.taskOptions, model.config);
  const kind = findTaskKind(task.kind);
  const maxLength = lengthLimit(model, kind.head, settings.maxLength);
  const all = task.validation.reduce((sum, { examples }) => sum + examples.length, task.train.length);
  const turns = new Turns(signal);
  let done = 0;
  const encode = async (
    name: string,
    examples: List<Example>,
    weights?: readonly number[],
  ): Promise<EncodedExamples> => {
    const encodedOf = <Part extends List<Example>>(part: Part) =>
      trainingExamples(task, part, model.tokenizer, maxLength, weights);
    if (!Array.isArray(examples)) return withoutEmpty(name, { examples, encoded: encodedOf(examples) }, maxLength);
    const encoded: TrainingExample[] = [];
    for (let start = 0; start < examples.length; start += AT_ONCE) {
      await onDone?.(done, all);
      await turns.give();
      const part = encodedOf((examples as Example[]).slice(start, start + AT_ONCE));
      for (const each of part) encoded.push(each);
      done += part.length;
    }
    return withoutEmpty(name, { examples, encoded }, maxLength);
  };
  const train = await encode("training", task.train, classWeightsOf(kind, task));
  const sample = sampled(task, train);
  const validation: EncodedSplit[] = [];
  for (const { name, examples } of task.validation) validation.push(kept(name, await encode(name, examples)));
  return { task, maxLength, train, sample, validation, notes: cutNotes(task.train.length, train, sample, maxLength) };
}

const kept = (name: string, { examples, encoded }: EncodedExamples): EncodedSplit => ({
  name,
  examples: [...examples],
  encoded: [...encoded],
});

/** The training examples themselves, or a stratified part of them if memory does not hold them. */
function sampled(task: TaskData, train: EncodedExamples): EncodedSplit {
  const { examples, encoded } = train;
  if (Array.isArray(encoded)) return { name: "training", examples: examples as Example[], encoded };
  const places = samplePlaces(task, examples, Math.max(SAMPLE, SAMPLE_A_CLASS * task.labels.length));
  return kept("training", { examples: picked(examples, places), encoded: picked(encoded, places) });
}

/**
 * Moves the validation examples behind the training examples, so that all of them are trained on. Encodings are reused; targets and
 * class weights are those of the larger split.
 */
export function trainOnAll({ task, train, validation, ...rest }: EncodedTask): EncodedTask {
  const splits = [train, ...validation];
  const examples = joined(splits.map((split) => split.examples));
  const all = { ...task, train: examples };
  const encodings = joined<TrainingExample>(splits.map((split) => split.encoded));
  const encoded = withTargets(all, examples, encodings, classWeightsOf(findTaskKind(task.kind), all));
  const larger = { examples, encoded };
  return { ...rest, task: all, train: larger, sample: sampled(task, larger), validation };
}

/** One list after the other, with new indices. */
function joined<Item extends { index: number }>(lists: readonly List<Item>[]): List<Item> {
  let length = 0;
  const starts = lists.map((list) => {
    length += list.length;
    return length - list.length;
  });
  const all = new LazyList(length, (index): Item => {
    const which = starts.findLastIndex((start) => start <= index);
    return { ...lists[which]!.at(index - starts[which]!)!, index };
  });
  return length <= MOST_KEPT ? [...all] : all;
}

/** Number of tokens after which texts are cut: the setting, but no more than the model reads. Pictures are never cut. */
function lengthLimit({ pooling, config }: TextReader, head: HeadName, maxLength: number): number {
  if (config.picture) return config.maxLength;
  const ofPooling = (head === "pooled" && pooling?.maxLength) || maxLength;
  return Math.min(maxLength, config.maxLength, ofPooling);
}

/** Removes examples in which nothing counts for the loss. @throws UserError if none is left */
function withoutEmpty(name: string, all: EncodedExamples, maxLength: number): EncodedExamples {
  const { examples, encoded } = all;
  // Most kinds say of no example whether it is cut, so that a long list need not be encoded.
  if (!Array.isArray(encoded) && encoded.at(0)?.cut === undefined) return all;
  const isLeft = ({ cut, rows }: TrainingExample): boolean => cut === undefined || rows!.length > 0;
  const places = encoded.map((each, i) => (isLeft(each) ? i : -1)).filter((place) => place >= 0);
  if (places.length === 0 && examples.length > 0) {
    throw new UserError(
      `none of the ${examples.length} ${name} examples has anything left that counts with --max-length ${maxLength}; raise it`,
    );
  }
  return places.length === examples.length
    ? all
    : { examples: picked(examples, places), encoded: picked(encoded, places) };
}

/** Notes on how many of `all` training examples were cut, and how many left out. */
function cutNotes(all: number, train: EncodedExamples, { encoded }: EncodedSplit, maxLength: number): string[] {
  const found = encoded.filter(({ cut: isCut, encoding }) => isCut ?? encoding.cut).length;
  const cut = Math.round((found * train.encoded.length) / encoded.length);
  const about = encoded.length < train.encoded.length ? "about " : "";
  const left = all - train.encoded.length;
  const of = `of ${all} training examples`;
  return [
    ...(cut > 0
      ? [`${about}${cut} ${of} are longer than ${maxLength} tokens and are shortened to that (--max-length)`]
      : []),
    ...(left > 0 ? [`${left} ${of} have nothing that counts within ${maxLength} tokens and are left out`] : []),
  ];
}
