import { UserError } from "../errors.ts";
import { removeOldTemporaries, writeAtomically } from "../files/atomic-file-node.ts";
import { flatOptions } from "../fine-tuning/run-options-node.ts";
import { type FinishedRun, type RunRecords, readFinishedRun } from "../runs/read-run.ts";
import { scoredData } from "../runs/run-data.ts";
import { checkComparable, type ScoredTrial, trialsOfRuns } from "../studies/scored-trial.ts";
import { studyResults } from "../studies/study-results.ts";
import { page } from "./page.ts";
import { counted } from "./quantities.ts";
import { type ReportedRun, runContent, runTitle, text } from "./run-page.ts";
import { renderStudy } from "./study.ts";

/**
 * The report of one run, or of several compared, as one HTML page that needs nothing from outside and runs no script.
 * Of several runs, those that have not finished are left out.
 * @throws {UserError} where there is nothing to show.
 */
export function renderReport(runs: RunRecords[]): string {
  if (runs.length === 1) {
    const run = reportedRun(runs[0]!);
    return page(runTitle(run), runContent(run));
  }
  const finished = runs.filter(hasResult);
  if (!finished.length) throw new UserError("there is no finished run to report; give the folder of at least one");
  const trials = trialsOfRuns(finished);
  const title = `${counted(trials.length, "run")} compared`;
  return renderStudy(studyResults({ title, notes: notesOn(trials) }, trials), trials);
}

/** A run of a folder as its page shows it. */
export function reportedRun(run: RunRecords): ReportedRun {
  const { config, ...records } = run;
  const { model, seed } = config.run;
  const options = flatOptions(config);
  return { ...records, method: config.method.name, model: text(model), seed, data: scoredData([run]), options };
}

/** What the reader of several runs' numbers must know. */
function notesOn(trials: readonly ScoredTrial[]): string[] {
  const mixed =
    new Set(trials.map(({ task }) => task)).size > new Set(trials.map(({ records }) => records!.result!.task)).size;
  return mixed ? ["Runs on other data, or on another split of them, stand apart: their scores do not compare."] : [];
}

/**
 * Reads finished runs and writes their report to `out`, all of it or nothing.
 * @throws {UserError} where a folder is no run, a run has not finished, or the runs have nothing to compare.
 */
export async function writeReport(directories: readonly string[], out: string): Promise<void> {
  const runs = await Promise.all(directories.map(readFinishedRun));
  if (runs.length > 1) checkComparable(runs);
  const report = renderReport(runs);
  await removeOldTemporaries(out);
  await writeAtomically(out, (file) => file.writeFile(report));
}

const hasResult = (run: RunRecords): run is FinishedRun => run.result !== undefined;
