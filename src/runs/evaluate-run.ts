import type { BaseFormat } from "../architectures/base-format.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { readExamples } from "../datasets/table-node.ts";
import { opt, UserError } from "../errors.ts";
import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { loadFineTunedModel } from "../inference/load-fine-tuned-model-node.ts";
import { baselinesOf } from "../inference/retrieval/baselines.ts";
import type { AnswerOptions } from "../inference/write-answers.ts";
import { refuseOtherData } from "../preparation/data-fingerprint-node.ts";
import { loadTask } from "../preparation/load-task-node.ts";
import type { DeviceName } from "../runtime/device.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import { inSlices } from "../runtime/slices.ts";
import type { Example } from "../tasks/example.ts";
import { computeMetrics, prepareMetrics, sameAnswerScores, scoresOf } from "../tasks/examples.ts";
import type { Finding } from "../tasks/findings.ts";
import { type AnswerScores, slicedScores } from "../tasks/metrics/answers.ts";
import { SEARCH_METRIC_NAMES } from "../tasks/metrics/retrieval-metrics.ts";
import { answerOf } from "../tasks/prompt.ts";
import { namedColumns } from "../tasks/rows.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { readRunRecords } from "./read-run.ts";

/** Examples and settings of an evaluation (default: the run's own). */
export interface EvaluationSource {
  /** Folder with the files of a GLUE task. */
  data?: string;
  /** Whether to use the data's own validation examples even if the run held out part of its training data. */
  ownSplits?: boolean | undefined;
  /** File with the user's examples. The columns follow. */
  validation?: string | undefined;
  text?: string;
  textPair?: string;
  label?: string;
  /** Whether models and data sets of the hub come from the cache only. */
  offline?: boolean | undefined;
  /** Storage format of the base model (default: float32, or the format used in training if float32 exceeds the memory). */
  base?: BaseFormat | undefined;
  device?: DeviceName;
  threads?: number;
  /** Whether to score BM25 and the model before training, too, for embeddings and rerankers (default: true). */
  baselines?: boolean;
  /** Number of examples that a language model answers; the answers are scored. */
  generate?: number | undefined;
  /** Settings for generating answers. */
  answers?: AnswerOptions;
  /** Receives the base model as soon as it is loaded. */
  onBase?(base: BaseModel): void;
  /** Receives the name of each stage as it begins, such as `evaluating`. */
  onStage?(stage: string): void;
  /** Receives the number of texts done so far. */
  onDone?(texts: number, of: number): void;
  /** Receives the number of complete answers so far. */
  onAnswer?(done: number, of: number): void;
}

/** A model's answer and its reference. */
export interface ScoredAnswer {
  /** Last turn of the conversation. */
  text: string;
  reference: string;
  answer: string;
}

/** Name of the baseline that gives the same best answer for every text. */
export const SAME_ANSWER = "same answer for all";

/** Scores of a fine-tuned model on one split. */
export interface RunEvaluation {
  split: string;
  examples: number;
  /** Whether the final model was trained on these examples, which makes its scores meaningless. */
  trainedOn?: boolean;
  /** Metrics of the task, and those that its kind adds, such as macro F1. */
  metrics: Record<string, number>;
  /** Standard errors of the task's metrics, estimated from the examples if that is possible. Search metrics have none. */
  errors?: Record<string, number>;
  /**
   * The same metrics for baselines. For embeddings and rerankers: `before training` and, if the examples are a search, `BM25`.
   * For classes and numbers: `same answer for all`, the best constant answer.
   */
  beside?: Record<string, Record<string, number>>;
  labels: readonly string[];
  /** `[true label, predicted label]`, for kinds that have a confusion matrix. */
  confusion?: number[][];
  /** Tables of mistakes and of scores per class or entity, for kinds that describe them. */
  findings?: Finding[];
  /** The scored answers, if `generate` was given. */
  answers?: ScoredAnswer[];
}

export async function evaluateRun(run: string, source: EvaluationSource = {}): Promise<RunEvaluation[]> {
  const { offline, generate, base, baselines = true } = source;
  if (generate !== undefined && !(Number.isInteger(generate) && generate > 0)) {
    throw new UserError(`${opt("generate")} takes a number of examples, at least 1, not ${generate}`);
  }
  const runtime = runtimeFor(source);
  const writes = generate === undefined ? false : undefined;
  const model = await loadFineTunedModel(run, runtime, { offline, base, writes });
  try {
    source.onBase?.(model.base);
    const { task } = model.description;
    const kind = findTaskKind(task.kind);
    if (kind.writing?.rollout) {
      throw new UserError(
        `the run in ${run} learned from rewards, which evaluate does not compute, since a reward may be a program; result.json has those of held-out prompts`,
      );
    }
    const { refit = false } = model.description;
    const trainedOn = refit && source.validation === undefined && source.data === undefined && !source.ownSplits;
    const results: RunEvaluation[] = [];
    source.onStage?.("reading the examples");
    for (const { name, examples } of await splitsOf(run, source, model)) {
      source.onStage?.("evaluating");
      const predictions = await model.predictLabels(examples, { onDone: source.onDone });
      await prepareMetrics(kind, predictions, examples);
      const details = kind.review?.details?.(predictions, examples, task.labels);
      const findings = kind.review?.findings?.(predictions, examples, task.labels);
      if (source.generate !== undefined) source.onStage?.("answering");
      const answers = source.generate === undefined ? undefined : await answersOf(model, examples, source);
      const sameAnswer = sameAnswerScores(task, examples);
      const beside = sameAnswer
        ? { [SAME_ANSWER]: sameAnswer }
        : baselines
          ? await baselinesOf(model, examples, runtime, source)
          : undefined;
      source.onStage?.("scoring");
      // The error estimate would repeat the search for each part of the examples, which takes too long.
      const { metrics, errors = undefined } = task.metrics.some((name) => SEARCH_METRIC_NAMES.includes(name))
        ? { metrics: computeMetrics(task, predictions, examples) }
        : await scoresOf(task, predictions, examples);
      results.push({
        split: name,
        examples: examples.length,
        ...(trainedOn && { trainedOn }),
        labels: task.labels,
        ...details,
        metrics: {
          ...metrics,
          ...details?.metrics,
          ...(answers && (await answerScores(answers, kind))),
        },
        ...(errors && { errors }),
        ...(beside && { beside }),
        ...(findings && { findings }),
        ...(answers && { answers }),
      });
    }
    return results;
  } finally {
    await model.release();
  }
}

async function answersOf(
  model: FineTunedModel,
  examples: readonly Example[],
  { generate, answers, onAnswer }: EvaluationSource,
): Promise<ScoredAnswer[]> {
  const asked = examples
    .flatMap((example) => {
      const reference = answerOf(example);
      return reference === undefined ? [] : [{ example, reference }];
    })
    .slice(0, generate);
  if (asked.length === 0) {
    throw new UserError(
      `${opt("generate")}: no example has an answer to compare with; leave it out for texts without one`,
    );
  }
  const prompts = asked.map(({ example }) => model.promptOf(example));
  const written = await model.answers(prompts, answers, (_, index) => onAnswer?.(index + 1, asked.length));
  return asked.map(({ example: { text }, reference }, i) => ({ text, reference, answer: written[i]!.text }));
}

async function answerScores(
  answers: readonly ScoredAnswer[],
  { writing: { baselines = {}, bySentence: splitSentences } = {} }: Pick<TaskKind, "writing">,
): Promise<Record<string, number>> {
  const references = answers.map(({ reference }) => reference);
  const score = async (texts: readonly string[]): Promise<AnswerScores> =>
    (await inSlices(slicedScores(texts, references, { splitSentences })))!;
  const scores: Record<string, number> = { ...(await score(answers.map(({ answer }) => answer))) };
  for (const [name, answerOf] of Object.entries(baselines)) {
    const { rouge1, rouge2, rougeL, rougeLsum } = await score(answers.map(({ text }) => answerOf(text)));
    for (const [metric, value] of Object.entries({ rouge1, rouge2, rougeL, rougeLsum })) {
      scores[`${name}_${metric}`] = value;
    }
  }
  return scores;
}

/**
 * Reads the examples that a source names, for a run's model.
 * @throws UserError if they cannot be read, or if `ownSplits` asks for validation examples that the data does not have
 */
export async function splitsOf(
  run: string,
  source: EvaluationSource,
  model: FineTunedModel,
): Promise<{ name: string; examples: Example[] }[]> {
  const { config, dataFingerprint } = await readRunRecords(run);
  const { name, kind, labels } = model.description.task;
  if (source.validation !== undefined) {
    const named = namedColumns({
      text: source.text ?? config.run.text,
      label: source.label ?? config.run.label,
      textPair: source.textPair ?? config.run.textPair,
    });
    const examples = await readExamples(source.validation, named, kind, labels, { labelled: true });
    return [{ name: source.validation, examples: [...examples] }];
  }
  if (source.data === undefined) {
    const remedy = `restore the file, or name other examples with ${opt("validation")} FILE (of a GLUE task ${opt("data")} DIR)`;
    await refuseOtherData(dataFingerprint, `the run in ${run}`, remedy);
  }
  const settings = source.ownSplits ? { ...config.run, validationSplit: undefined } : config.run;
  const given = {
    source: source.data === undefined ? config.source : { task: name, data: source.data },
    run: settings,
  };
  const { validation, heldOut } = await loadTask(given, { offline: source.offline }, dataFingerprint);
  // These were drawn from the training examples: other ones than the run held out, if it held out another share.
  if (source.ownSplits && heldOut) {
    throw new UserError(
      `${source.data ?? `the data of the run in ${run}`} has no validation examples of its own; leave ${opt("ownSplits")} out, or give ${opt("validation")} FILE`,
    );
  }
  return validation.map((split) => ({ ...split, examples: [...split.examples] }));
}
