import { opt, UserError } from "../errors.ts";
import type { Example } from "./example.ts";
import type { EmbeddingRows } from "./losses/embedding-losses.ts";
import {
  type Cell,
  type Columns,
  cellError,
  columnOf,
  distinctLabels,
  labelIndex,
  labelNameOf,
  list,
  numberOf,
  type Table,
  textOf,
} from "./rows.ts";
import type { TableReading } from "./task-kind.ts";

const METRICS: Record<EmbeddingRows, readonly string[]> = {
  pairs: ["ndcg_at_10", "mrr_at_10", "map_at_100", "recall_at_1", "recall_at_3", "recall_at_5", "recall_at_10"],
  scored: ["spearmanr", "pearson"],
  labelled: ["average_precision"],
  classes: ["precision_at_1", "map_at_100"],
};

export const NAMES_OF_ROWS: Record<EmbeddingRows, string> = {
  pairs: "pairs or triplets",
  scored: "pairs with a score",
  labelled: "pairs with 0 or 1",
  classes: "texts with a class",
};

interface EmbeddingColumns {
  rows: EmbeddingRows;
  /** Column of the first text, then of the texts that it is compared with; cells may be empty from the third column on. */
  texts: readonly string[];
  label?: string;
}

/**
 * Reads rows of pairs (`anchor`, `positive`) with any number of negatives (`negative`, `negative_2`, …), of scored pairs (`sentence1`,
 * `sentence2`, `score`), of pairs labelled 0 or 1 (`label`), or of texts with a class (`text`, `label`).
 */
export const embeddingRows: TableReading = {
  holds: NAMES_OF_ROWS,
  read(table, columns, labels, known) {
    const { rows, texts, label } = findColumns(table, columns, known);
    const cells = texts.map((column) => columnOf(table, column));
    const labelled = label === undefined ? undefined : columnOf(table, label);
    const classes =
      rows === "classes" ? [...(labels ?? distinctLabels(table, label!, (cell) => [labelNameOf(cell)]))] : [];
    const examples = cells[0]!.map((first, row) => {
      const [text, ...further] = cells.map((column) => textOf(column.at(row)!));
      for (const cell of [first, ...cells.slice(1, 2).map((column) => column.at(row)!)]) requireText(cell);
      const cell = labelled?.at(row);
      return {
        text: text!,
        texts: further.filter((each) => each.trim() !== ""),
        ...(cell && { label: labelOf(cell, rows, classes) }),
      };
    });
    return { examples, labels: classes, metrics: [...METRICS[rows]], options: { rows } };
  },
};

function findColumns(table: Table, named: Partial<Columns>, known: unknown): EmbeddingColumns {
  const has = (name: string): boolean => table.columns.includes(name);
  const first = named.text ?? ["anchor", "sentence1", "text"].find(has);
  const second = named.textPair ?? (named.text === undefined ? ["positive", "sentence2"].find(has) : undefined);
  const label = named.label ?? ["score", "label"].find((name) => has(name) && name !== first && name !== second);
  if (first !== undefined && second !== undefined) {
    const negatives = table.columns.filter((name) => /^negative(_\d+)?$/.test(name));
    if (label === undefined || negatives.length > 0) return { rows: "pairs", texts: [first, second, ...negatives] };
    // A few scores may happen to be 0 or 1.
    const isLabelled = known !== "scored" && isBinary(table, label);
    return { rows: isLabelled ? "labelled" : "scored", texts: [first, second], label };
  }
  if (first !== undefined && label !== undefined) return { rows: "classes", texts: [first], label };
  throw new UserError(
    `${table.source} has the columns ${list(table.columns)}; embeddings learn from pairs (anchor, positive, optionally negative), scored pairs (sentence1, sentence2, score) or texts with a class (text, label); name yours with ${opt("text")}, ${opt("textPair")} and ${opt("label")}`,
  );
}

const isBinary = (table: Table, label: string): boolean =>
  columnOf(table, label).every((cell) => numberOf(cell) === 0 || numberOf(cell) === 1);

function requireText(cell: Cell): void {
  if (textOf(cell).trim() === "") throw cellError(cell, "no text");
}

function labelOf(cell: Cell, rows: EmbeddingRows, classes: readonly string[]): number {
  if (rows === "classes") return labelIndex(cell, labelNameOf(cell), classes);
  const score = numberOf(cell);
  if (!Number.isFinite(score))
    throw cellError(cell, `"${cell.value ?? ""}" is not a score`, "; give a number in every row");
  return score;
}

export const identicalPairs = (examples: readonly Example[]): number =>
  examples.filter(({ text, texts = [] }) => texts[0]?.trim() === text.trim()).length;
