import { decimalNumber } from "../tasks/decimal-number.ts";
import type { Table } from "../tasks/rows.ts";

/** Number of words that a column's name rarely has. */
const LONG_NAME = 6;

/**
 * Returns why a file's first line seems to be a row and not a header: a column's name occurs in that column again, as
 * labels do, is as long as a text, or is a number. Undefined if there is no such sign.
 */
export function headerProblem({ columns, rows }: Table): string | undefined {
  for (const [column, name] of columns.entries()) {
    let again = 0;
    for (const { cells } of rows) if (String(cells.at(column) ?? "").trim() === name) again++;
    if (name !== "" && again > 0)
      return `"${name}" is in the first line and ${again === 1 ? "once" : `${again} times`} below it`;
    if (name.split(/\s+/).length >= LONG_NAME) return `"${name.slice(0, 40)}…" is as long as a text`;
    if (Number.isFinite(decimalNumber(name))) return `"${name}" is a number`;
  }
  return undefined;
}

/** Returns the same as a sentence with advice. */
export function headerAdvice(table: Table): string | undefined {
  const problem = headerProblem(table);
  return (
    problem && `${table.source} seems to have no header: ${problem}; write names such as text,label into a first line`
  );
}
