import type { TaskData } from "../tasks/example.ts";
import { examplesOf } from "../tasks/examples.ts";
import type { Columns, Table } from "../tasks/rows.ts";
import { findTaskKind, recognizeRows } from "../tasks/task-kinds.ts";

/**
 * A table's rows as a task named `custom`, all of them to train on.
 * @param given the name of its kind and its labels, where the rows are not to tell
 * @throws UserError where a column is missing, or a row has no text or no sound label.
 */
export function taskOfTable(
  table: Table,
  columns: Columns & { label: string },
  given: { kind?: string | undefined; labels?: readonly string[] | undefined } = {},
): TaskData {
  const kind = given.kind === undefined ? recognizeRows(table, columns.text, columns.label) : findTaskKind(given.kind);
  const labels = [...(given.labels ?? kind.labelsIn(table, columns.label))];
  const train = examplesOf(table, columns, kind, labels);
  return { name: "custom", kind: kind.name, labels, train, validation: [], metrics: [...kind.defaultMetrics] };
}
