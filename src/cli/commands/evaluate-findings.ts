import { refuseOutput, writeRows } from "../../datasets/write-rows-node.ts";
import { UserError } from "../../errors.ts";
import { writeAtomically } from "../../files/atomic-file-node.ts";
import type { RunEvaluation } from "../../runs/evaluate-run.ts";
import { counted } from "../terminal/format.ts";
import { say } from "../terminal/print.ts";

const isPage = (output: string): boolean => /\.html?$/i.test(output);

/** @throws UserError if findings cannot be written to a file of this name */
export function refuseFindingsFile(output: string): void {
  if (!isPage(output)) refuseOutput({ source: output, columns: [], rows: [] }, output, []);
}

/**
 * Writes what an evaluation found to a file by its ending: an HTML page with all tables, or the rows of the table of mistakes.
 * @throws UserError if the kind of task describes no mistakes, or the file cannot be written
 */
export async function writeFindings(output: string, run: string, evaluations: readonly RunEvaluation[]): Promise<void> {
  if (!evaluations.some(({ findings }) => findings)) {
    throw new UserError(`evaluate has no list of mistakes for this kind of task; leave out --output`);
  }
  if (isPage(output)) {
    const { findingsPage } = await import("../../reports/answers-page.ts");
    await writeAtomically(output, (file) => file.writeFile(findingsPage(run, evaluations)));
    say(`written to ${output}\n`);
    return;
  }
  const mistakes = evaluations.flatMap(({ findings = [] }) =>
    findings.filter(({ columns }) => columns.includes("text")),
  );
  const columns = mistakes[0]?.columns ?? ["text"];
  const rows = mistakes.flatMap((table) => table.rows).map((cells, i) => ({ line: i + 1, cells }));
  await writeRows(
    output,
    { source: run, columns, rows },
    [],
    rows.map((_, row) => [row, []]),
  );
  say(`${counted(rows.length, "row")} written to ${output}\n`);
}
