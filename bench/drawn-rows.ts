import { writeFileSync } from "node:fs";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { grouped } from "../src/studies/statistics.ts";
import { columnIndex, type Table } from "../src/tasks/rows.ts";

/**
 * Draws `count` rows of each class, or of the whole table if its rows have no classes.
 * @param label name of the column with the classes; undefined if there are none
 * @returns the drawn rows, and the others
 */
export function drawRows(
  { rows, ...table }: Table,
  count: number,
  seed: number,
  label: string | undefined,
): { drawn: Table; others: Table } {
  const column = label === undefined ? undefined : columnIndex(table, label);
  const classes = grouped(rows, ({ cells }) => (column === undefined ? "" : String(cells.at(column))));
  const random = xoroshiro128plus(seed);
  const shuffled = [...classes].map(([, [...own]]) => {
    for (let i = 0; i < Math.min(count, own.length - 1); i++) {
      const other = uniformInt(random, i, own.length - 1);
      [own[i], own[other]] = [own[other]!, own[i]!];
    }
    return own;
  });
  return {
    drawn: { ...table, rows: shuffled.flatMap((own) => own.slice(0, count)) },
    others: { ...table, rows: shuffled.flatMap((own) => own.slice(count)) },
  };
}

/** Writes a table as JSON Lines, and returns the file's name. */
export function writeRows(file: string, { columns, rows }: Table): string {
  const lines = rows.map(({ cells }) =>
    JSON.stringify(Object.fromEntries(columns.map((name, i) => [name, cells.at(i)]))),
  );
  writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
  return file;
}
