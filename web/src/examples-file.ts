import { decodeText } from "../../src/datasets/decode-text.ts";
import { guessColumns } from "../../src/datasets/guess-columns.ts";
import { parseTable, tableFormat } from "../../src/datasets/parse-table.ts";
import { taskOfTable } from "../../src/datasets/table-task.ts";
import { UserError } from "../../src/errors.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { type Columns, namedColumns, type Table } from "../../src/tasks/rows.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";

/** Bytes of a file of examples that a page takes. */
const LARGEST = 200e6;
/** Rows that are shown, and characters of a cell. */
const SHOWN = { rows: 4, characters: 160 };

/** A file of examples as the page shows it. */
export interface FileFacts {
  name: string;
  columns: readonly string[];
  rows: number;
  /** Its first rows, long cells cut. */
  first: string[][];
  guess: Partial<Columns>;
}

/** What the chosen columns hold. */
export interface TaskFacts {
  kind: string;
  /** What the kind says of itself. */
  summary: string;
  examples: number;
  /** Examples of each label, the most frequent first; none where the kind has no classes. */
  labels: { name: string; count: number }[];
}

/**
 * Reads a file of examples.
 * @throws UserError where it is too large, no text, of an unknown kind, or a row does not fit.
 */
export async function readExamples(file: Blob, name: string): Promise<{ text: string; table: Table }> {
  const format = tableFormat(name);
  if (file.size > LARGEST) {
    const megabytes = Math.round(file.size / 1e6).toLocaleString("en-US");
    throw new UserError(
      `${name} has ${megabytes} MB, and a page takes ${LARGEST / 1e6}; give a part of its rows, or train it with npx aflora train`,
    );
  }
  const text = decodeText(new Uint8Array(await file.arrayBuffer()), name);
  if (text.includes("\0")) throw new UserError(`${name} is not text; save it as CSV, TSV or JSONL`);
  return { text, table: parseTable(text, name, format) };
}

/** What the page shows of a file of examples. @param name the file's */
export function factsOf(name: string, table: Table): FileFacts {
  return {
    name,
    columns: table.columns,
    rows: table.rows.length,
    first: table.rows.slice(0, SHOWN.rows).map(({ cells }) => cells.map(shown)),
    guess: guessColumns(table),
  };
}

function shown(cell: unknown): string {
  const text = typeof cell === "string" ? cell : (JSON.stringify(cell) ?? "");
  return text.length > SHOWN.characters ? `${text.slice(0, SHOWN.characters)}…` : text;
}

/** @throws UserError where the columns hold no examples, naming the row. */
export function taskFactsOf(table: Table, columns: Partial<Columns>, kind: string | undefined): TaskFacts {
  const task = taskOfTable(table, namedColumns(columns), { kind });
  return {
    kind: task.kind,
    summary: findTaskKind(task.kind).summary,
    examples: task.train.length,
    labels: countsOf(task),
  };
}

function countsOf({ labels, train }: TaskData): TaskFacts["labels"] {
  const counts = labels.map((name) => ({ name, count: 0 }));
  for (const { label, labels: several = [] } of train) {
    for (const index of label === undefined ? several : [label]) if (counts[index]) counts[index].count++;
  }
  return counts.sort((a, b) => b.count - a.count);
}
