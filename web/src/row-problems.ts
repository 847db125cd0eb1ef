import { headerProblem } from "../../src/datasets/header-problem.ts";
import { choosesClass } from "../../src/inference/confidence-threshold.ts";
import { checkRows, problemGroups, rowsToCheck } from "../../src/labels/check-rows.ts";
import { dataNotes } from "../../src/tasks/data-notes.ts";
import type { Columns, Table } from "../../src/tasks/rows.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";
import type { TaskFacts } from "./examples-file.ts";

/** Maximum number of rows that a page checks while the user waits. */
const MOST_ROWS = 20_000;
const SHOWN = { rows: 20, characters: 120 };

/** Problems of a file of examples, as `aflora check` finds them without a model. */
export interface RowProblems {
  /** Why the first line seems to be a row. */
  header: string | undefined;
  notes: readonly string[];
  count: number;
  groups: { title: string; count: number; rows: [place: string, label: string, found: string, text: string][] }[];
}

/** Finds problems; undefined if the rows do not have one class each. Single rows are only checked in files of up to 20,000 rows. */
export function rowProblems(
  table: Table,
  { text = "text", label = "label" }: Partial<Columns>,
  { kind: name }: TaskFacts,
): RowProblems | undefined {
  const kind = findTaskKind(name);
  if (!choosesClass(kind) || kind.reads !== undefined) return undefined;
  const rows = rowsToCheck(table, { text, label });
  const problems = rows.length > MOST_ROWS ? [] : checkRows(rows);
  const groups = problemGroups(problems).map(({ title, problems: own }) => ({
    title,
    count: own.length,
    rows: own.slice(0, SHOWN.rows).map(({ row, detail }): RowProblems["groups"][number]["rows"][number] => {
      if (row === undefined) return ["", "", detail, ""];
      const { place, label: given, text: whole } = rows[row]!;
      const shown = whole.length > SHOWN.characters ? `${whole.slice(0, SHOWN.characters)}…` : whole;
      return [place.replace(/^.*, (?=line |row )/, ""), given, detail, shown];
    }),
  }));
  return { header: headerProblem(table), notes: dataNotes(rows, table.skipped), count: problems.length, groups };
}
