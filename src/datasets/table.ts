import { didYouMean, UserError } from "../errors.ts";
import type { Example, MetricName, TaskData, TaskKind } from "../tasks/example.ts";
import { splitExamples } from "../tasks/split.ts";
import { list, place, type Row, readTable, type Table, tableFormat } from "./rows.ts";

/** Which columns of a table hold what. */
export interface Columns {
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** Absent where the examples are to have no labels. */
  label?: string;
}

/** A task of the user's own. */
export interface TableTaskOptions {
  /** CSV, TSV, JSONL or CoNLL file, by its ending; a `.txt` file is read as CoNLL where `kind` is `token-classification`. */
  train: string;
  validation?: string | undefined;
  /** Fraction of the training rows to hold out where there is no validation file; 0.1 unless given. */
  validationSplit?: number | undefined;
  /** Seed of that split; 42 unless given. */
  seed?: number | undefined;
  /** Column names; `text` and `label` unless given. */
  text?: string | undefined;
  textPair?: string | undefined;
  label?: string | undefined;
  /**
   * Unless given, the rows tell: arrays of words → token classification, arrays of labels → multi-label, real numbers that
   * are not all integers → regression, anything else → classification. In a CSV or TSV file, multi-label must be asked for.
   */
  kind?: TaskKind | undefined;
}

/** Metrics of the user's own tasks; the first picks the best epoch. */
export const metrics: Readonly<Record<TaskKind, MetricName[]>> = {
  classification: ["accuracy", "macro_f1"],
  regression: ["pearson", "spearmanr", "mean_squared_error"],
  "multi-label": ["micro_f1", "macro_f1"],
  "token-classification": ["f1", "precision", "recall", "accuracy"],
};

/**
 * Reads the user's own files as a task named `custom`. Labels are sorted: integers by value, names alphabetically.
 * @throws UserError where a file cannot be read, a column is missing, or a row has no text or no sound label.
 */
export async function loadTableTask(options: TableTaskOptions): Promise<TaskData> {
  const { train: file, validation, validationSplit, seed = 42, text = "text", textPair, label = "label" } = options;
  if (validation !== undefined && validationSplit !== undefined) {
    throw new UserError("give a validation file or a validation split, not both");
  }
  const columns = { text, label, ...(textPair !== undefined && { textPair }) };
  const source = await readSource(file, columns, options.kind);
  const kind = options.kind ?? inferKind(source.table, source.columns);
  const labels = labelsOf(source.table, source.columns.label!, kind);
  const examples = examplesOf(source.table, source.columns, kind, labels);
  const { train, held } =
    validation === undefined
      ? splitExamples(examples, validationSplit ?? 0.1, seed, kind)
      : { train: examples, held: await readExamples(validation, columns, kind, labels) };
  const evaluation = [{ name: "validation", examples: held }];
  return { name: "custom", kind, labels, train, validation: evaluation, metrics: metrics[kind] };
}

/**
 * Reads examples for a task whose labels are known, to evaluate on or to predict; without `columns.label` they have none.
 * A `.txt` file holds one text a line; with labels, one word and its tag a line.
 * @throws UserError as `loadTableTask`, and where a label is not among `labels`.
 */
export async function readExamples(
  file: string,
  columns: Columns,
  kind: TaskKind,
  labels: readonly string[],
): Promise<Example[]> {
  const source = await readSource(file, columns, kind);
  return examplesOf(source.table, source.columns, kind, labels);
}

/**
 * Examples of a table's rows, in their order.
 * @throws UserError where a column is missing, or a row has no text, no label, or one that is not among `labels`.
 */
export function examplesOf(table: Table, columns: Columns, kind: TaskKind, labels: readonly string[]): Example[] {
  const text = columnIndex(table, columns.text);
  const textPair = columns.textPair === undefined ? undefined : columnIndex(table, columns.textPair);
  const label = columns.label === undefined ? undefined : columnIndex(table, columns.label);
  const classes = new Map(labels.map((name, index) => [name, index]));

  return table.rows.map((row, index) => {
    const example: Example = { index, ...textOf(table, row, text, kind, label !== undefined) };
    if (textPair !== undefined) example.textPair = textOf(table, row, textPair, "classification").text;
    // One text of a pair may be empty, as some of QQP's are.
    if (`${example.text}${example.textPair ?? ""}`.trim() === "") {
      throw new UserError(`${place(table, row)}: no text in column "${columns.text}"`);
    }
    if (label === undefined) return example;
    if (kind === "regression") return { ...example, label: realOf(table, row, label) };

    const found = namesOf(table, row, label, kind).map((name) => {
      const known = classes.get(name);
      if (known !== undefined) return known;
      const help = `; the task's labels are ${list(labels)}${didYouMean(name, labels)}`;
      throw new UserError(`${place(table, row)}: unknown label "${name}" in column "${columns.label}"${help}`);
    });
    if (kind === "classification") return { ...example, label: found[0]! };
    if (kind === "multi-label") return { ...example, labels: [...new Set(found)].sort((a, b) => a - b) };
    if (found.length !== example.words!.length) {
      throw new UserError(`${place(table, row)}: ${example.words!.length} words but ${found.length} tags`);
    }
    return { ...example, labels: found };
  });
}

/** A file's table; where the format has no column names of its own, the columns are `text` and `label`. */
async function readSource(file: string, columns: Columns, kind: TaskKind | undefined) {
  const ending = tableFormat(file);
  const labelled = columns.label !== undefined;
  const format = ending === "lines" && labelled && kind === "token-classification" ? "conll" : ending;
  const table = await readTable(file, format);
  if (format !== "conll" && format !== "lines") return { table, columns };
  return { table, columns: { ...columns, text: "text", ...(labelled && { label: "label" }) } };
}

/** What the rows themselves say, as `TableTaskOptions.kind` tells. */
export function inferKind(table: Table, columns: Columns): TaskKind {
  const text = columnIndex(table, columns.text);
  const label = columnIndex(table, columns.label!);
  if (table.rows.some(({ cells }) => Array.isArray(cells[text]))) return "token-classification";
  if (table.rows.some(({ cells }) => Array.isArray(cells[label]))) return "multi-label";
  const numbers = table.rows.map(({ cells }) => toReal(cells[label])).filter(Number.isFinite);
  // Most, not all: among real numbers, a cell that is none is a mistake to report rather than a class.
  const real = numbers.length > table.rows.length / 2 && !numbers.every(Number.isInteger);
  return real ? "regression" : "classification";
}

/** Sorted names of all labels in a column; none for regression. */
export function labelsOf(table: Table, name: string, kind: TaskKind): string[] {
  const column = columnIndex(table, name);
  const values = table.rows.flatMap((row): (string | number)[] =>
    kind === "regression" ? [realOf(table, row, column)] : namesOf(table, row, column, kind),
  );
  const distinct = [...new Set(values)];
  if (distinct.length < (kind === "multi-label" ? 1 : 2)) {
    const found = distinct.length ? `one label only, "${distinct[0]}"` : "no labels";
    throw new UserError(`${table.source}: column "${name}" holds ${found}; there is nothing to learn`);
  }
  if (kind === "regression") return [];
  const names = distinct.map(String);
  return names.every((each) => /^-?\d+$/.test(each)) ? names.sort((a, b) => Number(a) - Number(b)) : names.sort();
}

/**
 * Position of a column.
 * @throws UserError that names the columns there are.
 */
export function columnIndex(table: Table, name: string): number {
  const index = table.columns.indexOf(name);
  if (index >= 0) return index;
  const help = `; it has ${list(table.columns)}${didYouMean(name, table.columns)}`;
  throw new UserError(`${table.source} has no column "${name}"${help}`);
}

/** A cell as text; for token classification as words, which plain text that has tags parts by spaces. */
function textOf(
  table: Table,
  row: Row,
  column: number,
  kind: TaskKind,
  tagged = true,
): { text: string; words?: string[] } {
  const cell = row.cells[column] ?? "";
  if (typeof cell === "object" && !(Array.isArray(cell) && kind === "token-classification")) {
    throw new UserError(`${place(table, row)}: no text but an object or array in column "${table.columns[column]}"`);
  }
  if (kind !== "token-classification" || (!tagged && !Array.isArray(cell))) return { text: String(cell) };
  const words = Array.isArray(cell) ? cell.map(String) : String(cell).trim().split(/\s+/);
  return { text: words.join(" "), words };
}

/** The cell's class name, or names where the kind has several. */
function namesOf(table: Table, row: Row, column: number, kind: TaskKind): string[] {
  const cell = row.cells[column];
  const fail = (what: string) => new UserError(`${place(table, row)}: ${what} in column "${table.columns[column]}"`);
  const name = (value: unknown) => {
    if (typeof value === "object" && value !== null) throw fail("not a label but an object or array");
    const text = String(value ?? "").trim();
    if (text === "") throw fail("no label");
    return text;
  };
  if (kind === "classification") return [name(cell)];
  if (kind === "multi-label") {
    if (cell === undefined) throw fail("no label");
    const names = Array.isArray(cell) ? cell : String(cell ?? "").split(";");
    return names.filter((each) => each !== null && String(each).trim() !== "").map(name);
  }
  if (!Array.isArray(cell)) throw fail("no array of tags, one for each word,");
  return cell.map((value) => {
    const tag = name(value);
    if (!/^(O|[BIES](-.+)?)$/.test(tag)) throw fail(`"${tag}" is not a BIO tag such as B-PER, I-PER or O,`);
    return tag;
  });
}

function realOf(table: Table, row: Row, column: number): number {
  const value = toReal(row.cells[column]);
  if (Number.isFinite(value)) return value;
  const cell = row.cells[column];
  const found = cell === undefined || cell === null || cell === "" ? "no label" : `"${cell}" is not a real number`;
  throw new UserError(
    `${place(table, row)}: ${found} in column "${table.columns[column]}"; regression needs one in every row`,
  );
}

/** A cell's number; NaN where it is none. */
function toReal(cell: unknown): number {
  if (typeof cell === "number") return cell;
  return typeof cell === "string" && cell.trim() !== "" ? Number(cell) : Number.NaN;
}
