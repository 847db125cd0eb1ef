import { readExamples } from "../datasets/table-node.ts";
import { UserError } from "../errors.ts";
import { refuseOtherData } from "../fine-tuning/data-fingerprint-node.ts";
import { loadTask } from "../fine-tuning/load-task-node.ts";
import type { FineTunedModel } from "../inference/fine-tuned-model.ts";
import { loadFineTunedModel } from "../inference/load-fine-tuned-model-node.ts";
import { baselinesOf } from "../inference/retrieval/baselines.ts";
import type { AnswerOptions } from "../inference/write-answers.ts";
import type { BaseModel } from "../model/base-model.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { DeviceName } from "../runtime/device.ts";
import { runtimeFor } from "../runtime/runtime-for-node.ts";
import type { EvaluationSplit, Example } from "../tasks/example.ts";
import { computeMetrics, sameAnswerScores, scoresOf } from "../tasks/examples.ts";
import { scoreAnswers } from "../tasks/metrics/answers.ts";
import { SEARCH_METRIC_NAMES } from "../tasks/metrics/retrieval-metrics.ts";
import { answerOf } from "../tasks/prompt.ts";
import { namedColumns } from "../tasks/rows.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { readRunRecords } from "./read-run.ts";

/** Where to find the examples, if not where the run found its own. */
export interface EvaluationSource {
  /** Folder with a GLUE task's files. */
  data?: string;
  /** The data's own validation examples, also where the run held out others of its training data. */
  ownSplits?: boolean | undefined;
  /** File of the user's own examples, and its columns. */
  validation?: string | undefined;
  text?: string;
  textPair?: string;
  label?: string;
  /** Ask no hub: a model or data set of it comes from the cache alone. */
  offline?: boolean | undefined;
  /** How the base model is stored; where absent in float32 or, where that does not fit into memory, as in training. */
  base?: BaseFormat | undefined;
  device?: DeviceName;
  threads?: number;
  /** Whether embeddings and rerankers are measured beside the model before training and BM25, as they are where absent. */
  baselines?: boolean;
  /** Of a language model: so many examples are answered too, and the answers scored. */
  generate?: number | undefined;
  /** How answers are written. */
  answers?: AnswerOptions;
  /** Told of the base model when it is there. */
  onBase?(base: BaseModel): void;
  /** Told as texts are read. */
  onDone?(texts: number, of: number): void;
  /** Told as answers are whole. */
  onAnswer?(done: number, of: number): void;
}

/** An answer beside what it should be. */
export interface ScoredAnswer {
  /** What was asked, the conversation's last turn. */
  text: string;
  reference: string;
  answer: string;
}

/** What the best answer that needs no text is called beside a model's own. */
export const SAME_ANSWER = "same answer for all";

/** How a fine-tuned model does on one split. */
export interface RunEvaluation {
  split: string;
  examples: number;
  /** Whether the model was trained on them at the end: its scores say nothing then. */
  trainedOn?: boolean;
  /** The task's own, and what its kind adds to them, such as macro F1. */
  metrics: Record<string, number>;
  /** How far chance may have moved the task's own: standard errors, by the number of examples, where it is known. A search has none. */
  errors?: Record<string, number>;
  /**
   * The same metrics of what a model is to beat. Of embeddings and rerankers `before training` and, where the examples are a
   * search, `BM25`; of classes and numbers `same answer for all`, the best of those.
   */
  beside?: Record<string, Record<string, number>>;
  labels: readonly string[];
  /** `[true label, predicted label]`, of kinds that have it. */
  confusion?: number[][];
  /** Those that were scored, where that was asked for. */
  answers?: ScoredAnswer[];
}

/**
 * Evaluates a run's model on its validation data, or on other data of its task.
 * @throws UserError where the run or the data cannot be read, the run's own files are gone or changed, or the data has a label
 * that the model does not know.
 */
export async function evaluateRun(run: string, source: EvaluationSource = {}): Promise<RunEvaluation[]> {
  const { offline, generate, base, baselines = true } = source;
  if (generate !== undefined && !(Number.isInteger(generate) && generate > 0)) {
    throw new UserError(`--generate takes a number of examples, at least 1, not ${generate}`);
  }
  const runtime = runtimeFor(source);
  const writes = generate === undefined ? false : undefined;
  const model = await loadFineTunedModel(run, runtime, { offline, base, writes });
  try {
    source.onBase?.(model.base);
    const { task } = model.description;
    const kind = findTaskKind(task.kind);
    if (kind.rollout) {
      throw new UserError(
        `the run in ${run} learned from rewards, which evaluate does not compute, since a reward may be a program; result.json has those of held-out prompts`,
      );
    }
    const { refit = false } = model.description;
    const trainedOn = refit && source.validation === undefined && source.data === undefined && !source.ownSplits;
    const results: RunEvaluation[] = [];
    for (const { name, examples } of await splitsOf(run, source, model)) {
      const predictions = await model.predictLabels(examples, { onDone: source.onDone });
      const details = kind.detailsOf?.(predictions, examples, task.labels);
      const answers = source.generate === undefined ? undefined : await answersOf(model, examples, source);
      const sameAnswer = sameAnswerScores(task, examples);
      const beside = sameAnswer
        ? { [SAME_ANSWER]: sameAnswer }
        : baselines
          ? await baselinesOf(model, examples, runtime)
          : undefined;
      // To search once more without each part of the examples would take many times as long.
      const { metrics, errors = undefined } = task.metrics.some((name) => SEARCH_METRIC_NAMES.includes(name))
        ? { metrics: computeMetrics(task, predictions, examples) }
        : scoresOf(task, predictions, examples);
      results.push({
        split: name,
        examples: examples.length,
        ...(trainedOn && { trainedOn }),
        labels: task.labels,
        ...details,
        metrics: {
          ...metrics,
          ...details?.metrics,
          ...(answers && answerScores(answers, kind)),
        },
        ...(errors && { errors }),
        ...(beside && { beside }),
        ...(answers && { answers }),
      });
    }
    return results;
  } finally {
    await model.release();
  }
}

/** @throws UserError where the model writes none, or no example has one to compare with. */
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
    throw new UserError("--generate: no example has an answer to compare with; leave it out for texts without one");
  }
  const prompts = asked.map(({ example }) => model.promptOf(example));
  const written = await model.answers(prompts, answers, (_, index) => onAnswer?.(index + 1, asked.length));
  return asked.map(({ example: { text }, reference }, i) => ({ text, reference, answer: written[i]!.text }));
}

/** Scores of the answers, and of those that can be had without the model: `lead3_rouge1`. */
function answerScores(
  answers: readonly ScoredAnswer[],
  { baselines = {}, scoresSentences: splitSentences }: Pick<TaskKind, "baselines" | "scoresSentences">,
): Record<string, number> {
  const references = answers.map(({ reference }) => reference);
  const score = (texts: readonly string[]) => scoreAnswers(texts, references, { splitSentences });
  const scores: Record<string, number> = { ...score(answers.map(({ answer }) => answer)) };
  for (const [name, answerOf] of Object.entries(baselines)) {
    const { rouge1, rouge2, rougeL, rougeLsum } = score(answers.map(({ text }) => answerOf(text)));
    for (const [metric, value] of Object.entries({ rouge1, rouge2, rougeL, rougeLsum })) {
      scores[`${name}_${metric}`] = value;
    }
  }
  return scores;
}

/** The examples that a source names, for a model of the run. */
export async function splitsOf(
  run: string,
  source: EvaluationSource,
  model: FineTunedModel,
): Promise<EvaluationSplit[]> {
  const { config, dataFingerprint } = await readRunRecords(run);
  const { name, kind, labels } = model.description.task;
  if (source.validation !== undefined) {
    const named = namedColumns({
      text: source.text ?? config.run.text,
      label: source.label ?? config.run.label,
      textPair: source.textPair ?? config.run.textPair,
    });
    const examples = await readExamples(source.validation, named, kind, labels, { labelled: true });
    return [{ name: source.validation, examples }];
  }
  if (source.data === undefined) {
    const remedy = "restore the file, or name other examples with --validation FILE (of a GLUE task --data DIR)";
    await refuseOtherData(dataFingerprint, `the run in ${run}`, remedy);
  }
  const settings = source.ownSplits ? { ...config.run, validationSplit: undefined } : config.run;
  const given = {
    source: source.data === undefined ? config.source : { task: name, data: source.data },
    run: settings,
  };
  return (await loadTask(given, { offline: source.offline }, dataFingerprint)).validation;
}
