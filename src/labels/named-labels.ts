import { UserError } from "../errors.ts";
import { columnOf, type Table, textOf } from "../tasks/rows.ts";

/** A label for texts, and its meaning. */
export interface NamedLabel {
  name: string;
  /** Descriptions of its texts. Several are alternatives. */
  descriptions: readonly string[];
}

/** Parses labels such as `billing,bug` or `billing=invoices and refunds,bug=the app fails`. */
export function labelsOfList(list: string): NamedLabel[] {
  return checkedLabels(list.split(",").map(nameAndDescription), `"${list}"`);
}

/**
 * Labels of a table, one per row, or per line of a text file (`name` or `name=description`). The columns are `label` and `description`,
 * or the first two. A label may have several rows.
 */
export function labelsOfTable(table: Table): NamedLabel[] {
  const { columns, source } = table;
  if (columns.join() === "text") {
    return checkedLabels(
      columnOf(table, "text").map((cell) => nameAndDescription(textOf(cell))),
      source,
    );
  }
  const name = columns.includes("label") ? "label" : columns[0]!;
  const description = columns.includes("description") ? "description" : columns.find((column) => column !== name);
  const descriptions = description === undefined ? undefined : columnOf(table, description);
  return checkedLabels(
    columnOf(table, name).map((cell, row) => [textOf(cell), descriptions ? textOf(descriptions.at(row)!) : ""]),
    source,
  );
}

function nameAndDescription(text: string): [name: string, description: string] {
  const [name = "", ...description] = text.split("=");
  return [name, description.join("=")];
}

/** Collects the descriptions of each label. @param where source of the labels, for error messages */
function checkedLabels(named: readonly (readonly [name: string, description: string])[], where: string): NamedLabel[] {
  const labels = new Map<string, string[]>();
  for (const [name, description] of named.map((both) => both.map((part) => part.trim()) as [string, string])) {
    if (name === "") throw new UserError(`${where} holds a label without a name; give each one`);
    const descriptions = labels.get(name) ?? [];
    labels.set(name, description === "" ? descriptions : [...descriptions, description]);
  }
  if (labels.size < 2) {
    throw new UserError(`${where} names ${labels.size} label; give at least two, such as billing,bug,sales`);
  }
  return [...labels].map(([name, descriptions]) => ({ name, descriptions }));
}
