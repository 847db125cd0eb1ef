import { didYouMean, UserError } from "../errors.ts";
import { decimalNumber } from "./decimal-number.ts";
import { LazyList, type List } from "./list.ts";

/** One row of a table. */
export interface Row {
  /** First line of the row, from 1. */
  line: number;
  /** Cells in the order of the table's columns: text, or any JSON value; undefined if a JSON object lacks the key. */
  cells: List<unknown>;
}

/** Rows of a file, before they become examples. */
export interface Table {
  /** Source of the rows, for error messages. */
  source: string;
  columns: readonly string[];
  rows: List<Row>;
  /** Number of rows without a value in any cell, which were left out. */
  skipped?: number | undefined;
  /** Names of a column's classes in the order of their numbers, if the file has them. */
  classNames?: ReadonlyMap<string, readonly string[]>;
}

/** Columns of a table by their role. */
export interface Columns {
  text: string;
  /** Second sentence of a pair. */
  textPair?: string;
  /** Undefined if the examples have no labels. */
  label?: string;
}

/** The column names that were given. */
export const namedColumns = (given: { [Name in keyof Columns]?: string | undefined }): Partial<Columns> =>
  Object.fromEntries(Object.entries(given).filter(([, name]) => name !== undefined));

/** A cell with its position for error messages. */
export interface Cell {
  value: unknown;
  /** `file, line n` */
  place: string;
  /** Name of its column. */
  column: string;
}

/** Cells of a row from which an example is made. */
export interface ExampleCells {
  text: Cell;
  textPair?: Cell;
  /** Undefined if the examples have no labels. */
  label?: Cell;
}

/**
 * Position of a column.
 * @throws UserError that lists the existing columns.
 */
export function columnIndex(table: Pick<Table, "source" | "columns">, name: string): number {
  const index = table.columns.indexOf(name);
  if (index >= 0) return index;
  const help = `; it has ${list(table.columns)}${didYouMean(name, table.columns)}`;
  throw new UserError(`${table.source} has no column "${name}"${help}`);
}

/** Cells of a column, in the order of the rows. @throws UserError if there is no such column. */
export function columnOf({ source, rows, columns }: Table, name: string): List<Cell> {
  const column = columnIndex({ source, columns }, name);
  return new LazyList(rows.length, (i) => {
    const { line, cells } = rows.at(i)!;
    return { value: cells.at(column), place: `${source}, line ${line}`, column: name };
  });
}

/** Makes an error that says what is wrong with a cell, and what to do. */
export function cellError({ place, column }: Cell, what: string, help = ""): UserError {
  return new UserError(`${place}: ${what} in column "${column}"${help}`);
}

/** A cell as text; empty if a key is missing. @throws UserError if it is an object or array. */
export function textOf(cell: Cell): string {
  const value = cell.value ?? "";
  if (typeof value === "object") throw cellError(cell, "an object or array instead of a text");
  return String(value);
}

/** Label name in a cell, or in one of its parts. @throws UserError if there is none. */
export function labelNameOf(cell: Cell, part: unknown = cell.value): string {
  if (typeof part === "object" && part !== null) throw cellError(cell, "an object or array instead of a label");
  const name = String(part ?? "").trim();
  if (name === "") throw cellError(cell, "no label");
  return name;
}

/** Index of the label that a cell names. @throws UserError if it is not among `labels`. */
export function labelIndex(cell: Cell, name: string, labels: readonly string[]): number {
  const index = indicesOf(labels).get(name);
  if (index !== undefined) return index;
  throw cellError(
    cell,
    `unknown label "${name}"`,
    `; the task's labels are ${list(labels)}${didYouMean(name, labels)}`,
  );
}

/** Indices of labels by name, so that none of thousands of names is searched for in each row. */
const INDICES = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

function indicesOf(labels: readonly string[]): ReadonlyMap<string, number> {
  const known = INDICES.get(labels);
  if (known) return known;
  const indices = new Map(labels.map((name, index) => [name, index]));
  INDICES.set(labels, indices);
  return indices;
}

/** Number in a cell; NaN if it is not a number. */
export function numberOf({ value }: Cell): number {
  if (typeof value === "number") return value;
  return typeof value === "string" ? decimalNumber(value) : Number.NaN;
}

/**
 * Distinct labels of a column: sorted by value if all are integers, otherwise by name.
 * @param labelsIn returns the labels in a cell
 * @throws UserError if there are fewer than `least`.
 */
export function distinctLabels(
  table: Table,
  column: string,
  labelsIn: (cell: Cell) => readonly (string | number)[],
  least = 2,
): string[] {
  const found = new Set<string | number>();
  for (const cell of columnOf(table, column)) for (const label of labelsIn(cell)) found.add(label);
  const distinct = [...found].map(String);
  if (distinct.length < least) {
    const held = distinct.length ? `one label only, "${distinct[0]}"` : "no labels";
    throw new UserError(`${table.source}: column "${column}" holds ${held}; there is nothing to learn`);
  }
  const integers = distinct.every((name) => /^-?\d+$/.test(name));
  return integers ? distinct.sort((a, b) => Number(a) - Number(b)) : distinct.sort();
}

/** Joins names for an error message: all, or the first twenty. */
export function list(names: readonly string[]): string {
  return names.slice(0, 20).join(", ") + (names.length > 20 ? `, … (${names.length} in all)` : "");
}
