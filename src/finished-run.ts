import type { ExportReport } from "./export/export-adapter-node.ts";
import type { ExportOptions } from "./export/export-formats-node.ts";
import type { EvaluationSource, RunEvaluation } from "./runs/evaluate-run.ts";
import type { ExportSettings } from "./runs/export-run.ts";
import type { RunRecords } from "./runs/read-run.ts";

export type { ExportSettings } from "./runs/export-run.ts";

// A program imports these functions at its start. Each one loads its code when the program calls it.

/**
 * Evaluates a run's model on its validation data, or on other data of its task.
 * @returns one evaluation per split
 * @throws UserError if the run or the data cannot be read, the run's own files are gone or changed, or the data has a label that the
 * model does not know
 * @example
 * ```ts
 * const [{ metrics }] = await evaluateRun("runs/tickets", { validation: "new.csv" });
 * ```
 */
export async function evaluateRun(run: string, source?: EvaluationSource): Promise<RunEvaluation[]> {
  const { evaluateRun: evaluate } = await import("./runs/evaluate-run.ts");
  return evaluate(run, source);
}

/**
 * Exports a finished run's adapter (best epoch) to another tool's format. aflora compares the export with the run's model before it
 * moves it into place: if their logits differ by more than 1e-4, it leaves nothing behind. The texts of the comparison are the run's
 * validation texts, or built-in sentences (with a note) if those are gone or changed.
 * @throws UserError if the folder is no finished run, the output folder is not empty, or the format cannot hold the method
 * @example
 * ```ts
 * await exportRun("runs/tickets", { format: "onnx", output: "tickets-onnx" });
 * ```
 */
export async function exportRun(run: string, options: ExportOptions, settings?: ExportSettings): Promise<ExportReport> {
  const { exportRun: write } = await import("./runs/export-run.ts");
  return write(run, options, settings);
}

/**
 * Reads the records of a run folder. A run that is still being written has no `result`, and a half-written last line is left out.
 * @throws UserError if the folder is no run, or one of its files is damaged
 * @example
 * ```ts
 * const { steps, result } = await readRunRecords("runs/tickets");
 * console.log(steps.length, result?.metrics.accuracy);
 * ```
 */
export async function readRunRecords(directory: string): Promise<RunRecords> {
  const { readRunRecords: read } = await import("./runs/read-run.ts");
  return read(directory);
}

/**
 * Reads finished runs and writes their report, one HTML page, to the file `out`, as a whole or not at all.
 * @throws UserError if a folder is no run, a run has not finished, or the runs have nothing to compare
 * @example
 * ```ts
 * await writeReport(["runs/aflora", "runs/lora"], "both.html");
 * ```
 */
export async function writeReport(directories: readonly string[], out: string): Promise<void> {
  const { writeReport: write } = await import("./reports/report.ts");
  return write(directories, out);
}
