/** Writes rows as CSV (RFC 4180): cells with commas, quotes or line breaks are quoted, missing ones empty. */
export function csvOf(rows: readonly (readonly unknown[])[]): string {
  return rows.map((cells) => `${cells.map((cell) => quoted(textOf(cell))).join(",")}\n`).join("");
}

const textOf = (cell: unknown): string =>
  typeof cell === "object" && cell !== null ? JSON.stringify(cell) : String(cell ?? "");

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
