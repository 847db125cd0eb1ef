import { UserError } from "../errors.ts";
import type { Tokenizer } from "../inputs/tokenizer.ts";
import { inSlices } from "../runtime/slices.ts";
import { Turns } from "../runtime/turns.ts";
import type { Example, Prediction, TaskData } from "./example.ts";
import { type Like, type List, listOf, mapped } from "./list.ts";
import { type Cell, type Columns, cellError, columnOf, type Table } from "./rows.ts";
import { shuffled } from "./split.ts";
import type { EncodedExample, TableReading, TaskKind, TrainingExample } from "./task-kind.ts";
import { findTaskKind } from "./task-kinds.ts";

export const numbered = (examples: readonly Omit<Example, "index">[]): Example[] =>
  examples.map((example, index) => ({ index, ...example }));

export function columnsFor(kind: Pick<TaskKind, "columnsIn">, table: Table, given: Partial<Columns>): Columns {
  const { text = "text", label = "label", textPair } = given;
  return kind.columnsIn?.(table, given) ?? { text, label, ...(textPair !== undefined && { textPair }) };
}

export function examplesOf(
  table: Table,
  columns: Columns,
  kind: Pick<TaskKind, "exampleOfRow">,
  labels: readonly string[],
): List<Example> {
  const texts = columnOf(table, columns.text);
  const pairs = columns.textPair === undefined ? undefined : columnOf(table, columns.textPair);
  const labelled = columns.label === undefined ? undefined : columnOf(table, columns.label);
  return listOf(texts.length, (index) => {
    const text = texts.at(index)!;
    const cells = {
      text,
      ...(pairs && { textPair: pairs.at(index)! }),
      ...(labelled && { label: labelled.at(index)! }),
    };
    const example = { index, ...kind.exampleOfRow(cells, labels) };
    if (labelled) requireText(example, text);
    return example;
  });
}

export function readExamplesLike(
  { labels, options = {} }: { labels: readonly string[]; options?: TaskData["options"] },
  reading: TableReading,
  table: Table,
  given: Partial<Columns>,
): Example[] {
  const { rows } = options;
  // A task without classes may meet rows with classes, which are refused below if the task's rows are known.
  const known = labels.length > 0 || rows === undefined ? labels : undefined;
  const { examples, options: found } = reading.read(table, given, known, rows);
  if (rows === undefined || found.rows === rows) return numbered(examples);
  const [held, learned] = [found.rows, rows].map((each) => reading.holds?.[String(each)] ?? String(each));
  throw new UserError(
    `${table.source} holds ${held}, but the task's training file ${learned}; give a file with the same columns as the training file`,
  );
}

/** One text of a pair may be empty, as some in QQP are. */
function requireText({ text, textPair = "" }: Example, cell: Cell): void {
  if (`${text}${textPair}`.trim() === "") throw cellError(cell, "no text");
}

/** Limit on the target values that an example stores. Larger targets are computed on demand: with 10,000 classes, each would take 40 kB. */
const MAX_STORED_TARGETS = 4096;

export function withTargets<Encodings extends List<EncodedExample>>(
  { kind: name, labels }: Pick<TaskData, "kind" | "labels">,
  examples: List<Example>,
  encodings: Encodings,
  classWeights?: readonly number[],
): Like<Encodings, TrainingExample> {
  const kind = findTaskKind(name);
  return mapped(encodings, (encoded, i) => {
    const example = examples.at(i)!;
    const targets = kind.targets(example, encoded, labels, classWeights);
    if (targets.targets.data.length <= MAX_STORED_TARGETS) return { ...encoded, ...targets };
    return {
      ...encoded,
      ...targets,
      get targets() {
        return kind.targets(example, encoded, labels, classWeights).targets;
      },
    };
  });
}

export function trainingExamples<Examples extends List<Example>>(
  task: Pick<TaskData, "kind" | "labels" | "options">,
  examples: Examples,
  tokenizer: Tokenizer,
  maxLength: number,
  classWeights?: readonly number[],
): Like<Examples, TrainingExample> {
  const kind = findTaskKind(task.kind);
  const encodings = mapped(examples, (example) => kind.encode(example, tokenizer, maxLength, task.options));
  return withTargets<List<EncodedExample>>(task, examples, encodings, classWeights) as Like<Examples, TrainingExample>;
}

export interface Scores {
  examples: number;
  metrics: Record<string, number>;
  /** Standard errors of the metrics for which they are known: they are not if no example changes a metric, as if all are right. */
  errors: Record<string, number>;
}

const ROUNDING = 1e-9;
const JACKKNIFE_GROUPS = 20;
const JACKKNIFE_SEED = 0;

/**
 * Metrics with their standard errors, by leaving out one of 20 groups of examples at a time (grouped jackknife, Efron
 * 1982).
 */
export async function scoresOf(
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  predictions: readonly Prediction[],
  examples: readonly Example[],
  signal?: AbortSignal,
): Promise<Scores> {
  const turns = new Turns(signal);
  const count = Math.min(JACKKNIFE_GROUPS, examples.length);
  // Groups are random, because classes may alternate in a file, so that every twentieth row has the same class.
  const groups = shuffled(
    examples.map((_, i) => i % count),
    JACKKNIFE_SEED,
  );
  const without: Record<string, number>[] = [];
  for (let group = 0; count > 1 && group < count; group++) {
    const isKept = (_each: unknown, i: number): boolean => groups[i] !== group;
    without.push(await metricsOf(task, predictions.filter(isKept), examples.filter(isKept), signal));
    await turns.give();
  }
  const errors = task.metrics.map((name): [string, number] => {
    const values = without.map((metrics) => metrics[name]!);
    const mean = values.reduce((sum, each) => sum + each / count, 0);
    const squares = values.reduce((sum, each) => sum + (each - mean) ** 2, 0);
    return [name, Math.sqrt(((count - 1) / count) * squares)];
  });
  return {
    examples: examples.length,
    metrics: await metricsOf(task, predictions, examples, signal),
    errors: Object.fromEntries(errors.filter(([, error]) => error > ROUNDING)),
  };
}

/** Best value of each metric if all examples get the same answer; undefined for kinds without such an answer. */
export function sameAnswerScores(
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  examples: readonly Example[],
): Record<string, number> | undefined {
  const { review, metrics } = findTaskKind(task.kind);
  const answers = review?.sameAnswers?.(examples, task.labels);
  if (!answers) return undefined;
  const scores = answers.map((answer) => {
    const predictions = examples.map(() => answer);
    return computeMetrics(task, predictions, examples);
  });
  return Object.fromEntries(
    task.metrics.map((name) => {
      const values = scores.map((each) => each[name]!);
      return [name, metrics[name]!.higherIsBetter ? Math.max(...values) : Math.min(...values)];
    }),
  );
}

/**
 * Lets a kind compute what the metrics, details and findings of these predictions share. Other events run meanwhile.
 */
export async function prepareMetrics(
  { review }: Pick<TaskKind, "review">,
  predictions: readonly Prediction[],
  examples: readonly Example[],
  signal?: AbortSignal,
): Promise<void> {
  const preparing = review?.prepare?.(predictions, examples);
  if (preparing) await inSlices(preparing, () => signal?.aborted === true);
  signal?.throwIfAborted();
}

export async function metricsOf(
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  predictions: readonly Prediction[],
  examples: readonly Example[],
  signal?: AbortSignal,
): Promise<Record<string, number>> {
  await prepareMetrics(findTaskKind(task.kind), predictions, examples, signal);
  return computeMetrics(task, predictions, examples);
}

export function computeMetrics(
  task: Pick<TaskData, "kind" | "labels" | "metrics">,
  predictions: readonly Prediction[],
  examples: readonly Example[],
): Record<string, number> {
  const { metrics } = findTaskKind(task.kind);
  return Object.fromEntries(
    task.metrics.map((name) => {
      const metric = metrics[name];
      if (!metric) throw new Error(`no metric ${name} for ${task.kind}`);
      return [name, metric.compute(predictions, examples, task.labels)];
    }),
  );
}
