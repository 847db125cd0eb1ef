import type { Table } from "../tasks/rows.ts";

/** Words that a column's name seldom has. */
const LONG_NAME = 6;

/**
 * What tells that a file's first line is a row and no header: a column's name that stands in that column again, as labels do, that is as
 * long as a text, or a number; undefined where nothing does.
 */
export function headerProblem({ columns, rows }: Table): string | undefined {
  for (const [column, name] of columns.entries()) {
    const again = rows.filter(({ cells }) => String(cells[column] ?? "").trim() === name).length;
    if (name !== "" && again > 0)
      return `"${name}" stands in the first line and ${again === 1 ? "once" : `${again} times`} below it`;
    if (name.split(/\s+/).length >= LONG_NAME) return `"${name.slice(0, 40)}…" is as long as a text`;
    if (name !== "" && Number.isFinite(Number(name))) return `"${name}" is a number`;
  }
  return undefined;
}

/** The same as a sentence that says what to do. */
export function headerAdvice(table: Table): string | undefined {
  const problem = headerProblem(table);
  return (
    problem && `${table.source} seems to have no header: ${problem}; write names such as text,label into a first line`
  );
}
