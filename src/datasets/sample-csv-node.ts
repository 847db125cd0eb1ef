import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { UserError } from "../errors.ts";
import type { Table } from "../tasks/rows.ts";
import { isBlank } from "./lines.ts";
import { CsvParser, type CsvRow } from "./parse-csv.ts";
import { checkWidth, columnsOf } from "./parse-table.ts";
import { type OnRead, textPieces } from "./text-pieces-node.ts";

/** Upper limit on distinct labels, each of which keeps a row; a column with more holds numbers or texts. */
const MAX_LABELS = 1000;

/**
 * Samples rows of a CSV file while it is read, so that memory holds only these: all rows are equally likely (reservoir sampling,
 * Vitter 1985, algorithm R). Rows keep the file's order, and the sample is reproducible. Each label keeps at least one row.
 * @param room number of rows to sample
 * @param label name of the label column
 * @throws UserError if the file is not UTF-8, has no rows, or a row does not fit the header.
 */
export async function sampleCsv(file: string, room: number, label: string, onRead?: OnRead): Promise<Table> {
  const random = xoroshiro128plus(0);
  const kept: CsvRow[] = [];
  const firstOf = new Map<string, CsvRow>();
  let columns: string[] | undefined;
  let labels = -1;
  let seen = 0;
  let skipped = 0;
  for await (const row of csvRows(file, onRead)) {
    if (row.cells.length === 0) continue;
    if (!columns) {
      columns = columnsOf(row, file);
      labels = columns.indexOf(label);
      continue;
    }
    if (row.cells.every(isBlank)) {
      skipped += 1;
      continue;
    }
    checkWidth(row, columns, file);
    const slot = seen < room ? seen : uniformInt(random, 0, seen);
    seen++;
    if (slot < room) kept[slot] = copyOf(row);
    const own = row.cells[labels];
    if (own !== undefined && firstOf.size <= MAX_LABELS && !firstOf.has(own)) {
      const copy = copyOf(row);
      firstOf.set(copy.cells[labels]!, copy);
    }
  }
  if (!columns) throw new UserError(`${file} is empty`);
  if (seen === 0) throw new UserError(`${file} has no rows, only a header`);
  const drawn = new Set(kept.map(({ cells }) => cells[labels]));
  const missing =
    firstOf.size > MAX_LABELS ? [] : [...firstOf.values()].filter(({ cells }) => !drawn.has(cells[labels]));
  return { source: file, columns, skipped, rows: [...kept, ...missing].sort((a, b) => a.line - b.line) };
}

/** Copies a row: its cells are slices of a chunk of the file, which they would keep in memory. */
const copyOf = ({ line, cells }: CsvRow): CsvRow => ({
  line,
  cells: cells.map((cell) => Buffer.from(cell).toString()),
});

async function* csvRows(file: string, onRead?: OnRead): AsyncGenerator<CsvRow> {
  const parser = new CsvParser(file);
  for await (const piece of textPieces(file, onRead)) yield* parser.rowsOf(piece);
  yield* parser.rest();
}
