import type { KindHead } from "../architectures/architecture.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { opt, UserError } from "../errors.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import { Turns } from "../runtime/turns.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { trainingExamples, withTargets } from "../tasks/examples.ts";
import { LazyList, type List, MOST_KEPT, picked } from "../tasks/list.ts";
import { classWeightsOf } from "../tasks/losses/class-weights.ts";
import { samplePlaces } from "../tasks/split.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { findTaskKind, withTaskOptions } from "../tasks/task-kinds.ts";
import type { EncodedSplit } from "../training/evaluation/evaluate.ts";
import type { TellDone } from "../training/progress.ts";
import { evaluatedCount, evaluationNotes, sampleSize } from "./enough-examples.ts";
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

/** Examples that are encoded without giving way to other events. */
const AT_ONCE = 50;

/**
 * Encodes all splits of a task: all that memory holds, and of a large training set only a sample.
 * @throws the signal's reason; UserError if nothing that counts is left of any example of a split, or an option does not suit the task
 */
export async function encodeTask(
  given: TaskData,
  model: TextReader,
  settings: Pick<FineTuningSettings, "maxLength" | "taskOptions"> &
    Partial<Pick<FineTuningSettings, "evaluateSamples" | "epochs">>,
  { signal, onDone }: { signal?: AbortSignal | undefined; onDone?: TellDone } = {},
): Promise<EncodedTask> {
  const task = withTaskOptions(given, settings.taskOptions, model.config);
  const kind = findTaskKind(task.kind);
  const maxLength = lengthLimit(model, kind.head, settings.maxLength);
  const weights = classWeightsOf(kind, task);
  const shown = Array.isArray(task.train) ? (task.train as Example[]) : sampleOf(task, task.train, settings.epochs);
  const evaluated = task.validation.map(({ name, examples }) => {
    const count = evaluatedCount(task, examples, settings.evaluateSamples);
    const places = count < examples.length ? samplePlaces(task, examples, count) : examples.map((_, i) => i);
    return { name, examples: [...picked(examples, places)] };
  });
  const all = evaluated.reduce((sum, { examples }) => sum + examples.length, shown.length);
  const turns = new Turns(signal);
  let done = 0;
  const encode = async (name: string, examples: Example[], classWeights?: readonly number[]): Promise<EncodedSplit> => {
    const encoded: TrainingExample[] = [];
    for (let start = 0; start < examples.length; start += AT_ONCE) {
      await onDone?.(done, all);
      await turns.give();
      const part = examples.slice(start, start + AT_ONCE);
      for (const each of trainingExamples(task, part, model.tokenizer, maxLength, classWeights)) encoded.push(each);
      done += part.length;
    }
    return { name, ...withoutEmpty(name, { examples, encoded }, maxLength) } as EncodedSplit;
  };
  const sample = await encode("training", shown, weights);
  const train = Array.isArray(task.train) ? sample : lazily(task, model.tokenizer, maxLength, weights);
  const validation: EncodedSplit[] = [];
  for (const { name, examples } of evaluated) validation.push(await encode(name, examples));
  const notes = [
    ...cutNotes(task.train.length, train, sample, maxLength),
    ...task.validation.flatMap(({ name, examples }, i) => evaluationNotes(name, examples, evaluated[i]!.examples)),
  ];
  return { task, maxLength, train, sample, validation, notes };
}

/** A stratified part of a large training set. */
const sampleOf = (task: TaskData, examples: List<Example>, epochs = 1): Example[] => [
  ...picked(examples, samplePlaces(task, examples, sampleSize(task, epochs))),
];

/** The training examples of a large set, each of which is encoded when it is read. */
function lazily(
  task: TaskData,
  tokenizer: Tokenizer,
  maxLength: number,
  classWeights: readonly number[] | undefined,
): EncodedExamples {
  const encoded = trainingExamples(task, task.train, tokenizer, maxLength, classWeights);
  return withoutEmpty("training", { examples: task.train, encoded }, maxLength);
}

/** The training examples themselves, or a part of them if memory does not hold them. */
function sampled(task: TaskData, { examples, encoded }: EncodedExamples): EncodedSplit {
  if (Array.isArray(encoded)) return { name: "training", examples: examples as Example[], encoded };
  const places = samplePlaces(task, examples, sampleSize(task, 1));
  return { name: "training", examples: [...picked(examples, places)], encoded: [...picked(encoded, places)] };
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
function lengthLimit({ pooling, config }: TextReader, head: KindHead, maxLength: number): number {
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
      `none of the ${examples.length} ${name} examples has a token left that counts for the loss with ${opt("maxLength")} ${maxLength}; raise it`,
    );
  }
  return places.length === examples.length
    ? all
    : { examples: picked(examples, places), encoded: picked(encoded, places) };
}

const areOf = (count: number): string => (count === 1 ? "is" : "are");

/** Notes on how many of `all` training examples were cut, and how many left out. */
function cutNotes(all: number, train: EncodedExamples, { encoded }: EncodedSplit, maxLength: number): string[] {
  const found = encoded.filter(({ cut: isCut, encoding }) => isCut ?? encoding.cut).length;
  const cut = Math.round((found * train.encoded.length) / encoded.length);
  const about = encoded.length < train.encoded.length ? "about " : "";
  const left = all - train.encoded.length;
  const count = (of: number): string => of.toLocaleString("en-US");
  const of = `of ${count(all)} training examples`;
  return [
    ...(cut > 0
      ? [
          `${about}${count(cut)} ${of} ${areOf(cut)} longer than ${maxLength} tokens and ${areOf(cut)} shortened to that (${opt("maxLength")})`,
        ]
      : []),
    ...(left > 0
      ? [
          `${count(left)} ${of} ${left === 1 ? "has" : "have"} nothing that counts within ${maxLength} tokens and ${areOf(left)} left out`,
        ]
      : []),
  ];
}
