/** Formats rows as a Markdown table. The first row is the heading. */
export function markdownTable([heading, ...rows]: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heading!), line(heading!.map(() => "---")), ...rows.map(line)].join("\n");
}
