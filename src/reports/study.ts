import { join } from "node:path";
import { makeFolder, removeOldTemporaries, writeAtomically } from "../checkpoints/atomic-file-node.ts";
import type { StudyOutcome } from "../studies/run-study.ts";
import { grouped } from "../studies/statistics.ts";
import type { StudyResults } from "../studies/study-results.ts";
import { averagePattern } from "./freezing-pictures.ts";
import { figure, html, type Picture, page, type Table, table } from "./page.ts";
import { counted, duration, number, prefixed } from "./quantities.ts";
import { studyPictures } from "./study-pictures.ts";
import { freezingTables, studyCsv, studyMarkdown, summaryOf, taskTables } from "./study-tables.ts";

/** Configurations whose freezing pattern is drawn at most. */
const MOST_PATTERNS = 6;

/** Writes a study's numbers into its folder: `report.html`, `study.md`, `study.json` and `study.csv`, each whole or not at all. */
export async function writeStudyPages(output: string, results: StudyResults, outcome: StudyOutcome): Promise<void> {
  await makeFolder(output);
  const files = {
    "study.json": `${JSON.stringify(results, null, 2)}\n`,
    "study.csv": studyCsv(results),
    "study.md": studyMarkdown(results),
    "report.html": renderStudy(results, outcome),
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(output, name);
    await removeOldTemporaries(path);
    await writeAtomically(path, (file) => file.writeFile(text));
  }
}

/** The page of a study. */
export function renderStudy(results: StudyResults, outcome: StudyOutcome): string {
  const { title, about, notes, tasks, trials } = results;
  const pictures = [...tasks.flatMap(studyPictures), ...patterns(results, outcome)];
  const ended = [...grouped(trials, ({ status }) => status)].map(([status, of]) => `${of.length} ${status}`);
  const tables = [
    ...taskTables(results).map(({ task, rows: [columns, ...rows] }): Table => {
      return { caption: `Configurations on ${task}`, columns: ["configuration", ...columns!.slice(1)], rows };
    }),
    ...freezing(results),
    trialTable(results),
  ];
  return page(
    title,
    html`<h1>${title}</h1>
${about === undefined ? undefined : html`<p>${about}</p>`}
<p>${counted(trials.length, "trial")}: ${ended.join(", ")}. ${tasks.map(summaryOf).join(" ")} ${notes.join(" ")}</p>
<div class="pictures">
${pictures.map((picture, i) => figure(picture, `picture-${i + 1}`))}</div>
<section class="facts">${tables.map(table)}</section>
`,
  );
}

function freezing({ freezing: { orders, agreements } }: StudyResults): Table[] {
  if (orders.length === 0) return [];
  const { rows, agreementRows } = freezingTables({ orders, agreements });
  const asTable = (caption: string, [columns, ...rest]: string[][]): Table => ({
    caption,
    columns: columns!,
    rows: rest,
  });
  return [
    asTable("In which order matrices froze, and how far seeds agree", rows),
    ...(agreementRows.length > 1 ? [asTable("How far configurations agree", agreementRows)] : []),
  ];
}

/** When each matrix froze, as the paper's figure, over the seeds of each configuration. */
function patterns({ trials }: StudyResults, outcome: StudyOutcome): Picture[] {
  const finished = outcome.trials.filter(
    ({ status, records }) => status === "finished" && records!.freezing.length > 0,
  );
  const labels = new Map(trials.map(({ id, configuration }) => [id, configuration]));
  const byConfiguration = [...grouped(finished, ({ trial }) => trial.configuration).values()];
  return byConfiguration.slice(0, MOST_PATTERNS).flatMap((of) =>
    averagePattern(
      labels.get(of[0]!.trial.id)!,
      of.map(({ records }) => records!.freezing),
    ),
  );
}

function trialTable({ trials }: StudyResults): Table {
  return {
    caption: "All trials",
    columns: [
      ...["trial", "data", "configuration", "seed", "ended", "epochs", "held out", "reported"],
      ...["trainable", "time", "peak memory", "folder"],
    ],
    rows: trials.map((row) => [
      row.id,
      row.task,
      row.configuration,
      String(row.seed),
      row.reason === undefined ? row.status : `${row.status}: ${row.reason}`,
      row.epochs,
      number(row.heldOut),
      number(row.reported),
      row.trainable === undefined ? "–" : number(Math.round(row.trainable)),
      row.seconds === undefined ? "–" : duration(row.seconds),
      row.peakMemory === undefined ? "–" : prefixed(row.peakMemory, "B"),
      row.directory,
    ]),
  };
}
