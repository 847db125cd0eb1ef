import type { Runtime } from "../runtime/session.ts";
import { columnOf, type Table, textOf } from "../tasks/rows.ts";
import { doubtfulLabels } from "./check-labels.ts";
import { nearDuplicates } from "./near-duplicates.ts";

/** Classes with fewer rows can hardly be learned, or held out. */
const FEW = 8;

export interface CheckedRow {
  text: string;
  label: string;
  /** Such as `rows.csv, line 12`. */
  place: string;
  /** Whether it is a validation row, which must not be among the training rows. */
  held?: boolean;
}

export interface RowProblem {
  kind: "no text" | "no label" | "label" | "duplicate" | "other label" | "in validation" | "few rows";
  /** Index of the row; undefined for a problem of a class. */
  row?: number;
  detail: string;
}

const PROBLEM_TITLES: Readonly<Record<RowProblem["kind"], string>> = {
  "few rows": "classes with few rows",
  "no text": "rows without a text",
  "no label": "rows without a label",
  label: "labels that similar rows do not have",
  "other label": "near duplicates with another label",
  "in validation": "rows in both training and validation",
  duplicate: "near duplicates",
};

export function rowsToCheck(table: Table, { text, label }: { text: string; label: string }): CheckedRow[] {
  const labels = columnOf(table, label);
  return columnOf(table, text).map((cell, i) => ({
    text: textOf(cell),
    label: textOf(labels.at(i)!).trim(),
    place: cell.place,
  }));
}

export function problemGroups(problems: readonly RowProblem[]): { title: string; problems: RowProblem[] }[] {
  return Object.entries(PROBLEM_TITLES).flatMap(([kind, title]) => {
    const own = problems.filter((problem) => problem.kind === kind);
    return own.length === 0 ? [] : [{ title, problems: own }];
  });
}

/**
 * Finds rows that look wrong by their texts and labels alone: without a text or a label; nearly the same as another row, with a different
 * label or in both training and validation; in a class of few rows.
 */
export function checkRows(rows: readonly CheckedRow[]): RowProblem[] {
  const problems: RowProblem[] = [];
  for (const [row, { text, label }] of rows.entries()) {
    if (text.trim() === "") problems.push({ kind: "no text", row, detail: "" });
    else if (label === "") problems.push({ kind: "no label", row, detail: "" });
  }
  const usable = usableRows(rows);
  return [...problems, ...duplicatesAmong(rows, usable), ...smallClasses(rows, usable)];
}

const usableRows = (rows: readonly CheckedRow[]): number[] =>
  [...rows.keys()].filter((row) => rows[row]!.text.trim() !== "" && rows[row]!.label !== "");

function duplicatesAmong(rows: readonly CheckedRow[], usable: readonly number[]): RowProblem[] {
  return nearDuplicates(usable.map((row) => rows[row]!.text)).map(({ row: place, of }): RowProblem => {
    const [row, other] = [rows[usable[place]!]!, rows[usable[of]!]!];
    const found = { row: usable[place]!, detail: `nearly ${other.place}` };
    if (row.label !== other.label) {
      return { ...found, kind: "other label", detail: `${found.detail}, which is ${other.label}` };
    }
    return { ...found, kind: row.held !== other.held ? "in validation" : "duplicate" };
  });
}

function smallClasses(rows: readonly CheckedRow[], usable: readonly number[]): RowProblem[] {
  const counts = new Map<string, number>();
  for (const row of usable) {
    const { label, held } = rows[row]!;
    counts.set(label, (counts.get(label) ?? 0) + (held ? 0 : 1));
  }
  return [...counts]
    .filter(([, count]) => count < FEW)
    .map(([label, count]) => ({
      kind: "few rows",
      detail: `${label} has ${count} training ${count === 1 ? "row" : "rows"}; give at least ${FEW}`,
    }));
}

/**
 * Finds rows whose labels rows like them do not have.
 * @param vectors of the rows' texts, of length 1, by a frozen encoder
 */
export async function contradictedRows(
  rows: readonly CheckedRow[],
  vectors: readonly Float32Array[],
  runtime: Runtime,
): Promise<RowProblem[]> {
  const usable = usableRows(rows);
  const labels = [...new Set(usable.map((row) => rows[row]!.label))].sort();
  if (labels.length < 2) return [];
  const numberOf = new Map(labels.map((label, k) => [label, k]));
  const classes = usable.map((row) => numberOf.get(rows[row]!.label)!);
  const own = usable.map((row) => vectors[row]!);
  const doubtful = await doubtfulLabels(own, classes, labels.length, runtime);
  return doubtful.map(({ row, instead, given, other }) => ({
    kind: "label",
    row: usable[row]!,
    detail: `${labels[instead]} ${other.toFixed(2)}, not ${labels[classes[row]!]} ${given.toFixed(2)}`,
  }));
}
