import { stat } from "node:fs/promises";
import { UserError } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { columnsFor, examplesOf, numbered } from "../tasks/examples.ts";
import { type Columns, namedColumns, type Table } from "../tasks/rows.ts";
import { holdOut, sampleExamples } from "../tasks/split.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { besideFile, isFolder, mediaFolder } from "./media-folder-node.ts";
import { fileFormat, readTable } from "./read-table-node.ts";
import { sampleCsv } from "./sample-csv-node.ts";
import { taskOfTable } from "./table-task.ts";
import { refuseUnnamedColumns } from "./unnamed-columns.ts";

/** A task of the user's own. */
export interface TableTaskOptions {
  /** CSV, TSV, JSONL, parquet or CoNLL file, by its ending; a `.txt` file is read as CoNLL where `kind` labels words. Of pictures and sounds also a folder. */
  train: string;
  validation?: string | undefined;
  /** Fraction of the training rows to hold out where there is no validation file; 0.1 unless given. */
  validationSplit?: number | undefined;
  /** Most training rows to use, the rows to hold out among them; all unless given. */
  maxTrainSamples?: number | undefined;
  /** Seed of that split; 42 unless given. */
  seed?: number | undefined;
  /** Column names; unless given, those of the kind, which mostly are `text` and `label`. */
  text?: string | undefined;
  textPair?: string | undefined;
  label?: string | undefined;
  /**
   * Name of a kind of task. Unless given, columns tell (`messages`, `prompt` and `completion` → language model), or the rows: arrays of words → token classification, arrays of labels →
   * multi-label, real numbers that are not all integers → regression, anything else → classification. In a CSV or TSV
   * file, multi-label must be asked for.
   */
  kind?: string | undefined;
}

/**
 * Reads the user's own files as a task named `custom`. Labels are sorted: integers by value, names alphabetically.
 * @throws UserError where a file cannot be read, a column is missing, or a row has no text or no sound label.
 */
export async function loadTableTask(options: TableTaskOptions): Promise<TaskData> {
  const { train: file, validation, validationSplit, seed = 42, text, textPair, label } = options;
  if (validation !== undefined && validationSplit !== undefined) {
    throw new UserError("give a validation file or a validation split, not both");
  }
  const named = namedColumns({ text, textPair, label });
  const source = await readSource(file, named, options.kind, true, { count: options.maxTrainSamples });
  const all = taskOfTable(source.table, source.named, { kind: options.kind });
  const train = placed(file, all.train, all.kind, source.ofFolder);
  const task = sampleExamples({ ...all, train }, options.maxTrainSamples);
  const read = source.ofFolder ? [] : [file];
  if (validation === undefined) return withOrigin(holdOut(task, validationSplit ?? 0.1, seed), read);
  const held = await readExamples(validation, named, task.kind, task.labels, { labelled: true });
  const files = (await isFolder(validation)) ? read : [...read, validation];
  return withOrigin({ ...task, validation: [{ name: "validation", examples: held }] }, files);
}

/** Examples of a file; of pictures and sounds with their paths from here. */
function placed(file: string, examples: readonly Example[], kind: string, ofFolder: boolean): Example[] {
  return ofFolder || findTaskKind(kind).reads === undefined ? [...examples] : besideFile(file, examples);
}

/** A task with the files that it was read from: of pictures and sounds, theirs too, where they are files of their own. */
function withOrigin(task: TaskData, read: readonly string[]): TaskData {
  const examples = [...task.train, ...task.validation.flatMap((split) => split.examples)];
  const named = findTaskKind(task.kind).reads === undefined ? [] : examples.filter(({ bytes }) => !bytes);
  return { ...task, origin: { files: [...read, ...named.map(({ text }) => text)] } };
}

/**
 * Reads examples for a task whose labels are known, to evaluate on or to predict. Where they are not `labelled`, as they are where
 * a label's column is named, there is one for each line, blank ones among them. A `.txt` file holds one text a line; with labels,
 * where the kind labels words, one word and its tag a line.
 * @throws UserError as `loadTableTask`, and where a label is not among `labels`.
 */
export async function readExamples(
  file: string,
  named: Partial<Columns>,
  kind: string,
  labels: readonly string[],
  { labelled = named.label !== undefined } = {},
): Promise<Example[]> {
  const source = await readSource(file, named, kind, labelled, { classes: labels });
  const found = findTaskKind(kind);
  const { ofFolder } = source;
  if (found.table && labelled) {
    const examples = numbered(found.table.read(source.table, source.named, labels).examples);
    return placed(file, examples, kind, ofFolder);
  }
  if (!found.columnsIn) refuseUnnamedColumns(source.table, source.named, labelled);
  const { label, ...texts } = columnsFor(found, source.table, source.named);
  // What a kind finds by itself may be there without labels, but not the column that most have them in.
  const finds = found.columnsIn !== undefined && found.reads === undefined;
  const has = label !== undefined && (labelled || (finds && source.table.columns.includes(label)));
  return placed(file, examplesOf(source.table, { ...texts, ...(has && { label }) }, found, labels), kind, ofFolder);
}

/** Bytes of a CSV file from which on rows are drawn while it is read, where not all are asked for. */
const LARGE = 32e6;
/** Rows that are drawn then at least, of which those to train on are drawn by their classes. */
const ENOUGH = 20_000;

const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.size ?? 0;

/** A folder's pictures or sounds, or a file's table, or of a large one where `count` rows are wanted a draw; where the format has no column names of its own, the columns are `text` and `label`. */
async function readSource(
  file: string,
  named: Partial<Columns>,
  kind: string | undefined,
  labelled: boolean,
  { count, classes }: { count?: number | undefined; classes?: readonly string[] } = {},
): Promise<{ table: Table; named: Partial<Columns>; ofFolder: boolean }> {
  const media = kind === undefined ? undefined : findTaskKind(kind).reads;
  if ((kind === undefined || media) && (await isFolder(file))) {
    return { table: await mediaFolder(file, { media, labelled, classes }), named: {}, ofFolder: true };
  }
  const ending = await fileFormat(file);
  const inWords = kind !== undefined && findTaskKind(kind).head === "token";
  const format = ending === "lines" && labelled && inWords ? "conll" : ending;
  const isDrawn = count !== undefined && format === "csv" && (await sizeOf(file)) > LARGE;
  const table = isDrawn
    ? await sampleCsv(file, ENOUGH + 2 * count, named.label ?? "label")
    : await readTable(file, format, { everyLine: !labelled });
  const isNamed = format !== "conll" && format !== "lines";
  return { table, named: isNamed ? named : {}, ofFolder: false };
}
