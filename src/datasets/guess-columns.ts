import type { Columns, Table } from "../tasks/rows.ts";
import { recognizeColumns } from "../tasks/task-kinds.ts";

const ENOUGH = 2000;

/** Usual names of label columns, and of text columns, in order of preference. */
const LABEL_NAMES = ["label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "team", "tag"];
const TEXT_NAMES = ["text", "sentence", "message", "review", "content", "body", "question", "comment", "description"];
/** Usual names of the two texts of a pair. */
const PAIRS: readonly (readonly [string, string])[] = [
  ["sentence1", "sentence2"],
  ["question1", "question2"],
  ["premise", "hypothesis"],
  ["question", "sentence"],
  ["text1", "text2"],
];

/**
 * Guesses the text and label columns of a table, for the user to confirm: by name; otherwise the label is the column
 * with repeating short values, and the text the one with the longest. Returns nothing if a kind of task has its own
 * columns in the table, or if there is only one column.
 */
export function guessColumns(table: Table): Partial<Columns> {
  if (recognizeColumns(table, {}) || table.columns.length < 2) return {};
  const found = table.columns.map((name, i) => ({ name, ...measure(table, i) }));
  const byName = (names: readonly string[], among: typeof found) => {
    const known = names.find((name) => among.some((column) => column.name.toLowerCase() === name));
    return among.find((column) => column.name.toLowerCase() === known);
  };
  const label = byName(LABEL_NAMES, found) ?? lowest(found, ({ distinct, length }) => distinct + length / 1000);
  const others = found.filter((column) => column !== label && column.length > 0);
  const pair = PAIRS.map((names) => names.map((name) => byName([name], others))).find((both) => both.every(Boolean));
  if (pair) return { text: pair[0]!.name, textPair: pair[1]!.name, label: label!.name };
  const text = byName(TEXT_NAMES, others) ?? lowest(others, ({ length }) => -length);
  return { ...(text && { text: text.name }), label: label!.name };
}

/** Measures a column's mean cell length and its share of distinct values; 1 if all values are equal. */
function measure({ rows }: Table, column: number): { length: number; distinct: number } {
  const texts = Array.from({ length: Math.min(ENOUGH, rows.length) }, (_, row) =>
    textOf(rows.at(row)!.cells.at(column)),
  );
  const length = texts.reduce((sum, text) => sum + text.length, 0) / texts.length;
  const values = new Set(texts).size;
  // A column of one value is no use as a label.
  return { length, distinct: values === 1 ? 1 : values / texts.length };
}

const textOf = (cell: unknown): string => (typeof cell === "string" ? cell : (JSON.stringify(cell) ?? ""));

function lowest<Item>(items: readonly Item[], of: (item: Item) => number): Item | undefined {
  return items.toSorted((a, b) => of(a) - of(b))[0];
}
