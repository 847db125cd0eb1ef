/** Rows as CSV: cells with commas, quotes or line breaks are quoted (RFC 4180), missing ones empty; lines end in `\n`. */
export function csvOf(rows: readonly (readonly unknown[])[]): string {
  return rows.map((cells) => `${cells.map((cell) => quoted(textOf(cell))).join(",")}\n`).join("");
}

/** A cell's value as text: what JSON has as an object or array stays JSON. */
const textOf = (cell: unknown): string =>
  typeof cell === "object" && cell !== null ? JSON.stringify(cell) : String(cell ?? "");

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
