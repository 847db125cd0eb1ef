import { opt, UserError } from "../errors.ts";
import { type Columns, list, type Table } from "../tasks/rows.ts";
import { guessColumns } from "./guess-columns.ts";
import { headerAdvice } from "./header-problem.ts";

const ROLES = ["text", "textPair", "label"] as const;

/**
 * Rejects a table without the columns `text` and `label` if no others are named.
 * @param labelled whether labels are needed
 * @throws UserError that suggests columns as flags to add.
 */
export function refuseUnnamedColumns(table: Table, named: Partial<Columns>, labelled = true): void {
  const { source, columns } = table;
  const needed = labelled ? (["text", "label"] as const) : (["text"] as const);
  const missing = needed.find((role) => named[role] === undefined && !columns.includes(role));
  if (!missing) return;
  const taken = Object.values(named);
  const free = Object.entries(guessColumns(table)).filter(([, column]) => !taken.includes(column));
  const guess: Partial<Columns> = { ...Object.fromEntries(free), ...named };
  const flags = ROLES.flatMap((role) => {
    const column = role === "label" && !labelled ? undefined : guess[role];
    return column === undefined ? [] : [`${opt(role)} ${quoted(column)}`];
  });
  const help = guess[missing] === undefined ? "" : `; name yours, such as ${flags.join(" ")}`;
  throw new UserError(headerAdvice(table) ?? `${source} has no column "${missing}"; it has ${list(columns)}${help}`);
}

/** Quotes a name for a shell. */
const quoted = (name: string): string => (/^[\w.-]+$/.test(name) ? name : JSON.stringify(name));
