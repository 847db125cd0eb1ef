import { UserError } from "../errors.ts";
import { removeOldTemporaries, writeAtomically } from "../files/atomic-file-node.ts";
import { flatOptions } from "../preparation/run-options-node.ts";
import { type FinishedRun, type RunRecords, readFinishedRun } from "../runs/read-run.ts";
import { scoredData } from "../runs/run-data.ts";
import { checkComparable, type ScoredTrial, trialsOfRuns } from "../studies/scored-trial.ts";
import { studyResults } from "../studies/study-results.ts";
import { page } from "./page.ts";
import { counted } from "./quantities.ts";
import { type ReportedRun, runContent, runTitle, text } from "./run-page.ts";
import { renderStudy } from "./study.ts";

/**
 * Renders the report of a run, or of several compared, as one HTML page without external resources or scripts. With several runs, leaves
 * out those that have not finished.
 * @throws {UserError} if there is nothing to show
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

/** Converts the records of a run for its page. */
export function reportedRun(run: RunRecords): ReportedRun {
  const { config, ...records } = run;
  const { model, seed } = config.run;
  const options = flatOptions(config);
  return { ...records, method: config.method.name, model: text(model), seed, data: scoredData([run]), options };
}

/** Notes that a reader needs in order to compare several runs. */
function notesOn(trials: readonly ScoredTrial[]): string[] {
  const mixed =
    new Set(trials.map(({ task }) => task)).size > new Set(trials.map(({ records }) => records!.result!.task)).size;
  return mixed
    ? [
        "Runs on other data, or on another split of them, are shown separately, because their scores are not comparable.",
      ]
    : [];
}

/**
 * Reads finished runs and writes their report to `out`, atomically.
 * @throws {UserError} if a folder is no run, a run has not finished, or the runs are not comparable
 */
export async function writeReport(directories: readonly string[], out: string): Promise<void> {
  const runs = await Promise.all(directories.map(readFinishedRun));
  if (runs.length > 1) checkComparable(runs);
  const report = renderReport(runs);
  await removeOldTemporaries(out);
  await writeAtomically(out, (file) => file.writeFile(report));
}

const hasResult = (run: RunRecords): run is FinishedRun => run.result !== undefined;
