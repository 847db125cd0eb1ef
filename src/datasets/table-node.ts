import { stat } from "node:fs/promises";
import { UserError, withCode } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { columnsFor, examplesOf, readExamplesLike } from "../tasks/examples.ts";
import type { List } from "../tasks/list.ts";
import { type Columns, namedColumns, type Table } from "../tasks/rows.ts";
import { type SmallClassOptions, withoutSmallClasses } from "../tasks/small-classes.ts";
import { holdOut, sampleExamples } from "../tasks/split.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { besideFile, isFolder, mediaFolder } from "./media-folder-node.ts";
import { fileFormat, readTable } from "./read-table-node.ts";
import { sampleCsv } from "./sample-csv-node.ts";
import { taskOfTable } from "./table-task.ts";
import type { OnRead } from "./text-pieces-node.ts";
import { refuseUnnamedColumns } from "./unnamed-columns.ts";

/** Options of {@link loadTableTask}. */
export interface TableTaskOptions extends Partial<SmallClassOptions> {
  /** CSV, TSV, JSONL, Parquet or CoNLL file (also `.txt` if `kind` labels words), or a folder of pictures or sounds. */
  train: string;
  validation?: string | undefined;
  /** Fraction of the training rows to hold out if there is no validation file (default: 0.1). */
  validationSplit?: number | undefined;
  /** Maximum number of training rows, including held-out ones (default: all). */
  maxTrainSamples?: number | undefined;
  /** Seed of that split (default: 42). */
  seed?: number | undefined;
  /** Column names (default: those of the kind, usually `text` and `label`). */
  text?: string | undefined;
  textPair?: string | undefined;
  label?: string | undefined;
  /**
   * Name of a kind of task. By default, columns decide (`messages`, `prompt` and `completion` → language model), or the
   * rows: arrays of words → token classification, arrays of labels → multi-label, real numbers that are not all
   * integers → regression, anything else → classification. In a CSV or TSV file, multi-label must be given explicitly.
   */
  kind?: string | undefined;
  /** Receives the number of bytes of the training file that are read. */
  onRead?: OnRead | undefined;
}

/**
 * Reads the user's own files as a task named `custom`. Labels are sorted: integers by value, names alphabetically.
 * @throws UserError if a file cannot be read, a column is missing, or a row has no text or no valid label.
 */
export async function loadTableTask(options: TableTaskOptions): Promise<TaskData> {
  const { train: file, validation, validationSplit, seed = 42, text, textPair, label } = options;
  if (validation !== undefined && validationSplit !== undefined) {
    throw new UserError("give a validation file or a validation split, not both", { code: "invalid-option" });
  }
  const named = namedColumns({ text, textPair, label });
  const source = await readSource(file, named, options.kind, true, {
    count: options.maxTrainSamples,
    onRead: options.onRead,
  });
  const all = taskOfTable(source.table, source.named, { kind: options.kind });
  const train = resolvePaths(file, all.train, all.kind, source.ofFolder);
  const task = sampleExamples({ ...all, train }, options.maxTrainSamples);
  const read = source.ofFolder ? [] : [file];
  if (validation === undefined) {
    return withOrigin(holdOut(withoutSmallClasses(task, options), validationSplit ?? 0.1, seed), read);
  }
  const like = { labelled: true, taskOptions: task.options };
  const held = await readExamples(validation, named, task.kind, task.labels, like);
  const files = (await isFolder(validation)) ? read : [...read, validation];
  const both = { ...task, validation: [{ name: "validation", examples: held }] };
  return withOrigin(withoutSmallClasses(both, options), files);
}

/** Resolves the paths of examples of pictures and sounds. */
function resolvePaths(file: string, examples: List<Example>, kind: string, ofFolder: boolean): List<Example> {
  return ofFolder || findTaskKind(kind).reads === undefined ? examples : besideFile(file, [...examples]);
}

/** Records the files from which a task was read, including picture and sound files. */
function withOrigin(task: TaskData, read: readonly string[]): TaskData {
  if (findTaskKind(task.kind).reads === undefined) return { ...task, origin: { files: read } };
  const examples = [...task.train, ...task.validation.flatMap((split) => [...split.examples])];
  const named = examples.filter(({ bytes }) => !bytes);
  return { ...task, origin: { files: [...read, ...named.map(({ text }) => text)] } };
}

interface ReadOptions {
  labelled?: boolean;
  /** The task's options. If they name a type of rows, labelled examples must be of that type. */
  taskOptions?: TaskData["options"];
  onRead?: OnRead | undefined;
}

/**
 * Reads examples for a task with known labels, for evaluation or prediction. Unless they are `labelled` (the default if
 * a label column is named), there is one for each line, including blank ones. A `.txt` file holds one text per line;
 * with labels, if the kind labels words, one word and its tag per line.
 * @throws UserError as `loadTableTask`, and if a label is not among `labels` or the rows are of another type than the task's.
 */
export async function readExamples(
  file: string,
  named: Partial<Columns>,
  kind: string,
  labels: readonly string[],
  options: ReadOptions = {},
): Promise<List<Example>> {
  return (await readRows(file, named, kind, labels, options)).examples;
}

/** Reads examples like {@link readExamples}, with the rows that they were made of, in the same order. */
export function readRows(
  file: string,
  named: Partial<Columns>,
  kind: string,
  labels: readonly string[],
  options: ReadOptions = {},
): Promise<{ examples: List<Example>; table: Table }> {
  return withCode("invalid-data", rowsOf(file, named, kind, labels, options));
}

async function rowsOf(
  file: string,
  named: Partial<Columns>,
  kind: string,
  labels: readonly string[],
  { labelled = named.label !== undefined, taskOptions, onRead }: ReadOptions,
): Promise<{ examples: List<Example>; table: Table }> {
  const source = await readSource(file, named, kind, labelled, { classes: labels, onRead });
  const found = findTaskKind(kind);
  const { ofFolder, table } = source;
  if (found.table && labelled) {
    const task = { labels, options: taskOptions };
    const examples = readExamplesLike(task, found.table, table, source.named);
    return { examples: resolvePaths(file, examples, kind, ofFolder), table };
  }
  if (!found.columnsIn) refuseUnnamedColumns(table, source.named, labelled);
  const { label, ...texts } = columnsFor(found, table, source.named);
  // A kind that finds its own columns may find unlabelled rows, without the usual label column.
  const finds = found.columnsIn !== undefined && found.reads === undefined;
  const has = label !== undefined && (labelled || (finds && table.columns.includes(label)));
  const examples = examplesOf(table, { ...texts, ...(has && { label }) }, found, labels);
  return { examples: resolvePaths(file, examples, kind, ofFolder), table };
}

/** Size in bytes from which a CSV file is sampled while it is read, if not all rows are requested. */
const SAMPLED_SIZE = 32e6;
/** Minimum number of sampled rows, from which training rows are then drawn by class. */
const MIN_SAMPLE = 20_000;

const bytesOf = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.size ?? 0;

/** Reads a folder's media or a file's table, sampling a large one if `count` rows are requested. A format without column names has the columns `text` and `label`. */
async function readSource(
  file: string,
  named: Partial<Columns>,
  kind: string | undefined,
  labelled: boolean,
  {
    count,
    classes,
    onRead,
  }: { count?: number | undefined; classes?: readonly string[]; onRead?: OnRead | undefined } = {},
): Promise<{ table: Table; named: Partial<Columns>; ofFolder: boolean }> {
  const media = kind === undefined ? undefined : findTaskKind(kind).reads;
  if ((kind === undefined || media) && (await isFolder(file))) {
    return { table: await mediaFolder(file, { media, labelled, classes }), named: {}, ofFolder: true };
  }
  const ending = await fileFormat(file);
  const labelsWords = kind !== undefined && findTaskKind(kind).labelsWords === true;
  const format = ending === "lines" && labelled && labelsWords ? "conll" : ending;
  const isDrawn = count !== undefined && format === "csv" && (await bytesOf(file)) > SAMPLED_SIZE;
  const table = isDrawn
    ? await sampleCsv(file, MIN_SAMPLE + 2 * count, named.label ?? "label", onRead)
    : await readTable(file, format, { everyLine: !labelled, onRead });
  const isNamed = format !== "conll" && format !== "lines";
  return { table, named: isNamed ? named : {}, ofFolder: false };
}
