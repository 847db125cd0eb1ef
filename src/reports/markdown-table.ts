/** Rows of text as a table of Markdown, the first their heading. */
export function markdownTable([heading, ...rows]: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heading!), line(heading!.map(() => "---")), ...rows.map(line)].join("\n");
}
