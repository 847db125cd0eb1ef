import type { TaskData } from "../tasks/example.ts";
import { columnsFor, examplesOf, numbered } from "../tasks/examples.ts";
import type { Columns, Table } from "../tasks/rows.ts";
import { findTaskKind, recognizeColumns, recognizeTable } from "../tasks/task-kinds.ts";
import { refuseUnnamedColumns } from "./unnamed-columns.ts";

/**
 * Converts a table's rows to a task named `custom`, all of them for training. Classes keep the table's names and order, if it has them.
 * @param named column names given by the caller
 * @param given name of the kind and labels (default: inferred from the rows)
 * @throws UserError if a column is missing, or a row has no text or no valid label.
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
  const own = { name: "custom", kind: kind.name, ...(table.skipped && { skipped: table.skipped }) };
  if (kind.table) {
    const { examples, ...read } = kind.table.read(table, named, labelsOf(named));
    return { ...own, ...read, train: numbered(examples), validation: [] };
  }
  const columns = columnsFor(kind, table, named);
  const labels = [...(labelsOf(columns) ?? (columns.label === undefined ? [] : kind.labelsIn(table, columns.label)))];
  const train = examplesOf(table, columns, kind, labels);
  return { ...own, labels, train, validation: [], metrics: [...kind.defaultMetrics] };
}
