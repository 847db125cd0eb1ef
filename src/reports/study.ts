import { join } from "node:path";
import { makeFolder, removeOldTemporaries, writeAtomically } from "../files/atomic-file-node.ts";
import { STUDY_FORMAT } from "../studies/run-study.ts";
import type { ScoredTrial } from "../studies/scored-trial.ts";
import { grouped } from "../studies/statistics.ts";
import type { StudyResults } from "../studies/study-results.ts";
import { boundaryPaths } from "./block-pictures.ts";
import { averagePattern, FEWEST_CHECKS } from "./freezing-pictures.ts";
import { type Picture, page, type Table } from "./page.ts";
import { counted } from "./quantities.ts";
import { content } from "./run-page.ts";
import { relativeCosts } from "./setting-pictures.ts";
import { studyPictures } from "./study-pictures.ts";
import {
  freezingTables,
  measuredOn,
  settingsTable,
  stageTables,
  studyCsv,
  studyMarkdown,
  summaryOf,
  trialTable,
} from "./study-tables.ts";

/** Maximum number of settings whose freezing pattern is drawn: with several seeds, and with one. */
const MOST_PATTERNS = 6;
const MOST_OF_ONE = 2;

/** Writes a study's numbers into its folder: `report.html`, `study.md`, `study.json` and `study.csv`, each atomically. */
export async function writeStudyPages(
  output: string,
  results: StudyResults,
  trials: readonly ScoredTrial[],
): Promise<void> {
  await makeFolder(output);
  const files = {
    "study.json": `${JSON.stringify({ format: STUDY_FORMAT, ...results }, null, 2)}\n`,
    "study.csv": studyCsv(results),
    "study.md": studyMarkdown(results),
    "report.html": renderStudy(results, trials),
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(output, name);
    await removeOldTemporaries(path);
    await writeAtomically(path, (file) => file.writeFile(text));
  }
}

/** Renders the page of a study, or of a comparison of runs. @param trials of the results */
export function renderStudy(results: StudyResults, trials: readonly ScoredTrial[]): string {
  const { title, about = "", notes, tasks } = results;
  const pictures = [...tasks.flatMap(studyPictures), ...relativeCosts(results), ...patterns(trials)];
  const ended = [...grouped(trials, ({ status }) => status)].map(([status, of]) => `${of.length} ${status}`);
  const said = tasks.flatMap((task) => [summaryOf(task), measuredOn(task)]);
  const state = [about, `${counted(trials.length, "trial")}: ${ended.join(", ")}.`, ...said, ...notes];
  const tables = [
    ...(tasks.length > 0 ? [asTable("Settings", settingsTable(results))] : []),
    ...stageTables(results).map(({ title: stage, rows }) => asTable(stage, rows)),
    ...freezing(results),
    trialTable(trials, results),
  ];
  return page(title, content(title, state.filter(Boolean).join(" "), pictures, tables));
}

const asTable = (caption: string, [columns, ...rows]: string[][]): Table => ({ caption, columns: columns!, rows });

function freezing({ freezing: { orders, agreements } }: StudyResults): Table[] {
  if (orders.length === 0) return [];
  const { rows, agreementRows } = freezingTables({ orders, agreements });
  return [
    asTable("Order in which matrices froze, and agreement between seeds", rows),
    ...(agreementRows.length > 1 ? [asTable("Agreement between settings", agreementRows)] : []),
  ];
}

/** Freezing steps of matrices over the seeds of each setting, as in the paper's figure, and of blocks. */
function patterns(trials: readonly ScoredTrial[]): Picture[] {
  const compared = trials.filter(({ status, stage }) => status === "finished" && stage === undefined);
  const froze = compared.filter(({ records }) => records!.freezing.length >= FEWEST_CHECKS);
  const byLabel = [...grouped(froze, ({ setting, task }) => `${setting} on ${task}`)];
  const shown = byLabel.length <= MOST_OF_ONE ? byLabel : byLabel.filter(([, { length }]) => length > 1);
  return shown.slice(0, MOST_PATTERNS).flatMap(([label, of]) => {
    const runs = of.map(({ seed, records }) => {
      const { freezing: checks, result } = records!;
      return { seed, records: checks, lastStep: result!.steps - 1 };
    });
    return [
      ...averagePattern(
        label,
        runs.map(({ records }) => records),
      ),
      ...boundaryPaths(label, runs),
    ];
  });
}
