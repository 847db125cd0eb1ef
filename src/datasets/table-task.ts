import type { TaskData } from "../tasks/example.ts";
import { columnsFor, examplesOf, numbered } from "../tasks/examples.ts";
import type { Columns, Table } from "../tasks/rows.ts";
import { findTaskKind, recognizeColumns, recognizeTable } from "../tasks/task-kinds.ts";
import { refuseUnnamedColumns } from "./unnamed-columns.ts";

/**
 * A table's rows as a task named `custom`, all of them to train on. Classes keep the names and order that the table says, where it does.
 * @param named columns by the names that somebody gave
 * @param given the name of its kind and its labels, where the rows are not to tell
 * @throws UserError where a column is missing, or a row has no text or no sound label.
 */
export function taskOfTable(
  table: Table,
  named: Partial<Columns>,
  given: { kind?: string | undefined; labels?: readonly string[] | undefined } = {},
): TaskData {
  const labelsOf = ({ label }: Partial<Columns>): readonly string[] | undefined =>
    given.labels ?? (label === undefined ? undefined : table.classNames?.get(label));
  const known = given.kind === undefined ? recognizeColumns(table, named) : findTaskKind(given.kind);
  if (!known?.table && !known?.columnsIn) refuseUnnamedColumns(table, named);
  const kind = known ?? recognizeTable(table, named);
  if (kind.table) {
    const { examples, ...read } = kind.table.read(table, named, labelsOf(named));
    return { name: "custom", kind: kind.name, ...read, train: numbered(examples), validation: [] };
  }
  const columns = columnsFor(kind, table, named);
  const labels = [...(labelsOf(columns) ?? (columns.label === undefined ? [] : kind.labelsIn(table, columns.label)))];
  const train = examplesOf(table, columns, kind, labels);
  return { name: "custom", kind: kind.name, labels, train, validation: [], metrics: [...kind.defaultMetrics] };
}
