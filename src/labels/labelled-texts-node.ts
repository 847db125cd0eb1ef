import { columnOf, distinctLabels, labelNameOf } from "../tasks/rows.ts";
import { readTextRows, type TextRows } from "./text-rows-node.ts";

export interface LabelledTexts extends TextRows {
  labels: string[];
  /** Index of each row's label. */
  classes: number[];
}

/**
 * Reads rows with labels.
 * @param named columns (default: `text` or the only other column, and `label`)
 * @throws UserError if the file cannot be read, a column is missing, a row has no label, or there are fewer than two labels
 */
export async function readLabelledTexts(
  file: string,
  named: { text?: string | undefined; label?: string | undefined } = {},
): Promise<LabelledTexts> {
  const rows = await readTextRows(file, named.text);
  const column = named.label ?? "label";
  const labels = distinctLabels(rows.table, column, (cell) => [labelNameOf(cell)]);
  const classes = columnOf(rows.table, column).map((cell) => labels.indexOf(labelNameOf(cell)));
  return { ...rows, labels, classes };
}
