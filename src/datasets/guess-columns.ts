import type { Columns, Table } from "../tasks/rows.ts";
import { recognizeColumns } from "../tasks/task-kinds.ts";

/** Rows that are looked at. */
const ENOUGH = 2000;

/** Names that columns of labels, and of texts, often have; the first that there is is taken. */
const LABEL_NAMES = ["label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "team", "tag"];
const TEXT_NAMES = ["text", "sentence", "message", "review", "content", "body", "question", "comment", "description"];
/** Names that the two texts of a pair have in published data sets. */
const PAIRS: readonly (readonly [string, string])[] = [
  ["sentence1", "sentence2"],
  ["question1", "question2"],
  ["premise", "hypothesis"],
  ["question", "sentence"],
  ["text1", "text2"],
];

/**
 * Guesses which columns of a table hold the text and the label, for a person to confirm: by their names, else the label is where values come again,
 * and the text where they are longest. Nothing is guessed where a kind of task reads the table by columns of its own, or there is
 * but one column.
 */
export function guessColumns(table: Table): Partial<Columns> {
  if (recognizeColumns(table, {}) || table.columns.length < 2) return {};
  const found = table.columns.map((name, i) => ({ name, ...measured(table, i) }));
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

/** Of a column's cells: their mean length, and the share of them that are not the same as another; 1 where all are. */
function measured({ rows }: Table, column: number): { length: number; distinct: number } {
  const texts = rows.slice(0, ENOUGH).map(({ cells }) => textOf(cells[column]));
  const length = texts.reduce((sum, text) => sum + text.length, 0) / texts.length;
  const values = new Set(texts).size;
  // A column of one value teaches nothing.
  return { length, distinct: values === 1 ? 1 : values / texts.length };
}

const textOf = (cell: unknown): string => (typeof cell === "string" ? cell : (JSON.stringify(cell) ?? ""));

function lowest<Item>(items: readonly Item[], of: (item: Item) => number): Item | undefined {
  return items.toSorted((a, b) => of(a) - of(b))[0];
}
