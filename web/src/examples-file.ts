import { pieceDecoder } from "../../src/datasets/decode-text.ts";
import { guessColumns } from "../../src/datasets/guess-columns.ts";
import { mediaTable } from "../../src/datasets/media-folder.ts";
import { TableReader, tableFormat } from "../../src/datasets/parse-table.ts";
import { taskOfTable } from "../../src/datasets/table-task.ts";
import { UserError } from "../../src/errors.ts";
import type { TaskData } from "../../src/tasks/example.ts";
import { type Columns, namedColumns, type Table } from "../../src/tasks/rows.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";
import { type GivenExamples, MOST_PICTURES } from "./given-examples.ts";

const LARGEST = 200e6;
/** Maximum number of rows of a file: a row takes memory however short it is. */
const MOST_ROWS = 2_000_000;
/** Bytes of a file that are read at once: their rows take many times their size before they are packed. */
const PIECE = 2 ** 20;
const SHOWN = { rows: 4, characters: 160 };

export interface FileFacts {
  name: string;
  /** Medium of the task kinds that can read it. */
  reads: TaskKind["reads"];
  columns: readonly string[];
  rows: number;
  /** Its first rows, with long cells cut. */
  first: string[][];
  guess: Partial<Columns>;
}

export interface TaskFacts {
  kind: string;
  reads: TaskKind["reads"];
  refines: TaskKind["refines"];
  /** Whether training starts from a head that is fitted to the examples. */
  fitsHead: boolean;
  summary: string;
  examples: number;
  /** Number of examples per label, most frequent first; empty if the kind has no classes. */
  labels: { name: string; count: number }[];
}

/**
 * Reads the user's examples.
 * @throws UserError if they are too large, no text, of an unknown format, or a row is malformed
 */
export async function readExamples({ name, file, pictures = {} }: GivenExamples): Promise<Table> {
  return file ? readFile(file, name) : readPictures(Object.keys(pictures), name);
}

function readPictures(paths: readonly string[], name: string): Table {
  if (paths.length <= MOST_PICTURES) return mediaTable(name, paths, { media: "pictures", labelled: true });
  const [given, most] = [paths.length, MOST_PICTURES].map((count) => count.toLocaleString("en-US"));
  throw new UserError(
    `${name} has ${given} pictures, and a page takes ${most}; give a part of them, or train them with npx aflora train`,
  );
}

async function readFile(file: Blob, name: string): Promise<Table> {
  const format = tableFormat(name);
  if (file.size > LARGEST) {
    const megabytes = Math.round(file.size / 1e6).toLocaleString("en-US");
    throw new UserError(
      `${name} has ${megabytes} MB, and a page takes ${LARGEST / 1e6}; give a part of its rows, or train it with npx aflora train`,
    );
  }
  const [decode, reader] = [pieceDecoder(name), new TableReader(name, format)];
  for (let from = 0; from < file.size; from += PIECE) {
    const piece = decode(new Uint8Array(await file.slice(from, from + PIECE).arrayBuffer()));
    if (piece.includes("\0")) throw new UserError(`${name} is not text; save it as CSV, TSV or JSONL`);
    reader.read(piece);
    if (reader.length > MOST_ROWS) {
      throw new UserError(
        `${name} has more than ${MOST_ROWS.toLocaleString("en-US")} rows, which a page does not take; give a part of them, or train it with npx aflora train`,
      );
    }
  }
  return reader.rest(decode());
}

export function factsOf({ name, pictures }: GivenExamples, table: Table): FileFacts {
  return {
    name,
    reads: pictures && "pictures",
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

export function taskFactsOf(table: Table, columns: Partial<Columns>, kind: string | undefined): TaskFacts {
  const task = taskOfTable(table, namedColumns(columns), { kind });
  const taskKind = findTaskKind(task.kind);
  const { summary, reads, refines, objective } = taskKind;
  return {
    kind: task.kind,
    reads,
    refines,
    fitsHead: objective.linearLoss !== undefined,
    summary,
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
