import { resolveDataset } from "../checkpoints/hub-node.ts";
import type { HubOptions } from "../checkpoints/hub-repository-node.ts";
import { opt, UserError } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import { columnsFor, examplesOf, readExamplesLike } from "../tasks/examples.ts";
import { GLUE_TASKS } from "../tasks/glue.ts";
import type { List } from "../tasks/list.ts";
import { type Columns, namedColumns } from "../tasks/rows.ts";
import { type SmallClassOptions, withoutSmallClasses } from "../tasks/small-classes.ts";
import { holdOut, sampleExamples } from "../tasks/split.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind, recognizeColumns } from "../tasks/task-kinds.ts";
import { type ParquetTable, readParquet } from "./parquet-node.ts";
import { taskOfTable } from "./table-task.ts";

/** Options of {@link loadDatasetTask}. */
export interface DatasetTaskOptions extends Partial<SmallClassOptions> {
  /** `owner/name[@revision]` */
  dataset: string;
  /** Configuration, such as `cola` of `nyu-mll/glue`; required if there are several. */
  configuration?: string | undefined;
  /** Fraction of the training rows to hold out (default: the data set's validation splits, or 0.1 if it has none). */
  validationSplit?: number | undefined;
  /** Maximum number of training rows, including held-out ones (default: all). */
  maxTrainSamples?: number | undefined;
  /** Seed of that split (default: 42). */
  seed?: number | undefined;
  /** Column of the text (default: `text`, or the first of the one or two columns that hold text). */
  text?: string | undefined;
  /** Column of the second text (default: the second of two columns that hold text, if `text` is not given). */
  textPair?: string | undefined;
  /** Column of the label (default: `label`). */
  label?: string | undefined;
  /** Name of a kind of task (default: inferred from the rows, as for `TableTaskOptions.kind`). */
  kind?: string | undefined;
}

/**
 * Loads a data set of the hub as a task: its split `train`, and all named `validation…` or `dev`. Classes keep the data
 * set's names and order. Configurations of GLUE (`owner/glue`) become GLUE's tasks with GLUE's metrics, others
 * `custom`.
 * @throws UserError if the data set does not exist, has no training rows, lacks a column, or its splits hold different types of rows.
 */
export async function loadDatasetTask(options: DatasetTaskOptions, hub: HubOptions = {}): Promise<TaskData> {
  const { dataset, configuration, seed = 42 } = options;
  const isValidation = (split: string) => /^(validation|valid$|dev$)/.test(split);
  const found = await resolveDataset(dataset, configuration, (split) => split === "train" || isValidation(split), hub);
  const read = (split: string, files: string[]) => readParquet(`${found.name}, split ${split}`, files);
  const files = found.splits.get("train");
  if (!files) throw new UserError(`${found.name} has no split "train" to learn from`);
  const table = await read("train", files);

  const known = kindOf(table, options);
  const { text, textPair, label } = options;
  const columns = known?.table ? namedColumns({ text, textPair, label }) : columnsOf(table, options);
  const own = taskOfTable(table, columns, { kind: known?.name });
  const ofGlue = /\/glue(@|$)/.test(dataset) && configuration !== undefined ? GLUE_TASKS.get(configuration) : undefined;
  const named = ofGlue ? { ...own, name: configuration!, metrics: ofGlue.metrics } : own;
  const kind = findTaskKind(own.kind);
  requireFiles(found.name, own.train, kind);
  const task = sampleExamples({ ...named, origin: { revision: found.commit } }, options.maxTrainSamples);

  const splits = [...found.splits].filter(([split]) => isValidation(split));
  if (splits.length === 0 || options.validationSplit !== undefined) {
    return holdOut(withoutSmallClasses(task, options), options.validationSplit ?? 0.1, seed);
  }
  const examples = (held: ParquetTable): List<Example> =>
    kind.table
      ? readExamplesLike(task, kind.table, held, columns)
      : examplesOf(held, columnsFor(kind, held, columns), kind, task.labels);
  const validation = [];
  for (const [split, paths] of splits) {
    const name = split.startsWith("validation") ? split : "validation";
    const held = examples(await read(split, paths));
    requireFiles(found.name, held, kind);
    validation.push({ name, examples: held });
  }
  return withoutSmallClasses({ ...task, validation }, options);
}

/** @throws UserError if a row has only the path of a picture or sound, since a local file there is not the data set's. */
function requireFiles(name: string, examples: List<Example>, { reads }: Pick<TaskKind, "reads">): void {
  const bare = reads && [...examples].find(({ bytes }) => !bytes);
  if (!bare) return;
  throw new UserError(
    `the rows of ${name} have paths, such as ${bare.text}, and do not hold the ${reads} themselves; download its files, and train on their folder`,
  );
}

/** Returns the requested kind, or the one that the columns indicate. */
const kindOf = (table: ParquetTable, { kind, text, label }: DatasetTaskOptions) =>
  kind === undefined ? recognizeColumns(table, namedColumns({ text, label })) : findTaskKind(kind);

function columnsOf(table: ParquetTable, options: DatasetTaskOptions): Columns {
  const { text, textPair, label = "label" } = options;
  const own = kindOf(table, options)?.columnsIn?.(table, namedColumns({ text, textPair, label: options.label }));
  if (own) return own;
  if (text !== undefined || table.columns.includes("text")) {
    return { text: text ?? "text", label, ...(textPair !== undefined && { textPair }) };
  }
  const [first, second, ...more] = table.columns.filter(
    (name, i) => name !== label && !table.classNames.has(name) && typeof table.rows.at(0)!.cells.at(i) === "string",
  );
  if (first === undefined || more.length > 0) {
    throw new UserError(
      `${table.source} has the columns ${table.columns.join(", ")}; name the column of the text with ${opt("text")}`,
    );
  }
  const pair = textPair ?? second;
  return { text: first, label, ...(pair !== undefined && { textPair: pair }) };
}
