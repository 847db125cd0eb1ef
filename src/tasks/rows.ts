import { didYouMean, UserError } from "../errors.ts";

/** One row of a table. */
export interface Row {
  /** Line where the row starts, from 1. */
  line: number;
  /** In the order of the table's columns: text, or any JSON value; undefined where a JSON object lacks the key. */
  cells: readonly unknown[];
}

/** Rows of a file, not yet examples. */
export interface Table {
  /** Where the rows come from, for error messages. */
  source: string;
  columns: readonly string[];
  rows: readonly Row[];
  /** Column → names of its classes in the order of their numbers, where the file says so. */
  classNames?: ReadonlyMap<string, readonly string[]>;
}

/** Which columns of a table hold what. */
export interface Columns {
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** Absent where the examples are to have no labels. */
  label?: string;
}

/** The names among those that somebody may have given. */
export const namedColumns = (given: { [Name in keyof Columns]?: string | undefined }): Partial<Columns> =>
  Object.fromEntries(Object.entries(given).filter(([, name]) => name !== undefined));

/** A cell, with what error messages say of it. */
export interface Cell {
  value: unknown;
  /** `file, line n` */
  place: string;
  /** Name of its column. */
  column: string;
}

/** The cells of a row that an example is made of. */
export interface ExampleCells {
  text: Cell;
  textPair?: Cell;
  /** Absent where the examples are to have no labels. */
  label?: Cell;
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

/** A column's cells, in the order of the rows. @throws UserError where there is no such column. */
export function columnOf(table: Table, name: string): Cell[] {
  const column = columnIndex(table, name);
  return table.rows.map(({ line, cells }) => ({
    value: cells[column],
    place: `${table.source}, line ${line}`,
    column: name,
  }));
}

/** What is wrong with a cell, and what to do. */
export function cellError({ place, column }: Cell, what: string, help = ""): UserError {
  return new UserError(`${place}: ${what} in column "${column}"${help}`);
}

/** A cell as text; an empty one where a key is missing. @throws UserError where it is an object or array. */
export function textOf(cell: Cell): string {
  const value = cell.value ?? "";
  if (typeof value === "object") throw cellError(cell, "an object or array instead of a text");
  return String(value);
}

/** A name of a label: a cell's, or that of one of its parts. @throws UserError where it is none. */
export function labelNameOf(cell: Cell, part: unknown = cell.value): string {
  if (typeof part === "object" && part !== null) throw cellError(cell, "an object or array instead of a label");
  const name = String(part ?? "").trim();
  if (name === "") throw cellError(cell, "no label");
  return name;
}

/** Index of a label that a cell names. @throws UserError where it is not among `labels`. */
export function labelIndex(cell: Cell, name: string, labels: readonly string[]): number {
  const index = labels.indexOf(name);
  if (index >= 0) return index;
  throw cellError(
    cell,
    `unknown label "${name}"`,
    `; the task's labels are ${list(labels)}${didYouMean(name, labels)}`,
  );
}

/** A cell's number; NaN where it is none. */
export function numberOf({ value }: Cell): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
}

/**
 * The distinct labels of a column: integers by value, else by name.
 * @param labelsIn the labels that a cell holds
 * @throws UserError where there are fewer than `least`.
 */
export function distinctLabels(
  table: Table,
  column: string,
  labelsIn: (cell: Cell) => readonly (string | number)[],
  least = 2,
): string[] {
  const distinct = [...new Set(columnOf(table, column).flatMap(labelsIn))].map(String);
  if (distinct.length < least) {
    const found = distinct.length ? `one label only, "${distinct[0]}"` : "no labels";
    throw new UserError(`${table.source}: column "${column}" holds ${found}; there is nothing to learn`);
  }
  const integers = distinct.every((name) => /^-?\d+$/.test(name));
  return integers ? distinct.sort((a, b) => Number(a) - Number(b)) : distinct.sort();
}

/** Names for an error message: all, or the first twenty of many. */
export function list(names: readonly string[]): string {
  return names.slice(0, 20).join(", ") + (names.length > 20 ? `, … (${names.length} in all)` : "");
}
