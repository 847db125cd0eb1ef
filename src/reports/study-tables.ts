import { csvOf } from "../datasets/write-csv.ts";
import { isBeyondChance, type Spread } from "../studies/statistics.ts";
import type { StudyResults, TaskResults, TrialRow } from "../studies/study-results.ts";
import { markdownTable } from "./markdown-table.ts";
import { counted, duration, number, prefixed, spread } from "./quantities.ts";

/** A study's numbers on one task as rows of text, the first their heading, and what they say in a sentence. */
export interface TaskTable {
  task: string;
  rows: string[][];
  summary: string;
}

/** One table for each task of a study. */
export function taskTables({ tasks }: StudyResults): TaskTable[] {
  return tasks.map((task) => ({ task: task.task, rows: configurationRows(task), summary: summaryOf(task) }));
}

const orDash = (value: Spread | undefined): string => (value ? spread(value) : "–");

function configurationRows({ task, metric, reportedSeparately, rows }: TaskResults): string[][] {
  const scored = reportedSeparately ? [`${metric}, held out`, `${metric}, reported`] : [`${metric}, held out`];
  return [
    [task, ...scored, "trainable", "seconds", "peak memory", "trials"],
    ...rows.map(({ label, heldOut, score, trainable, seconds, peakMemory, trials, epochs }) => [
      label,
      orDash(heldOut),
      ...(reportedSeparately ? [orDash(score)] : []),
      trainable ? number(Math.round(trainable.mean)) : "–",
      seconds ? number(Number(seconds.mean.toPrecision(3))) : "–",
      peakMemory === undefined ? "–" : prefixed(peakMemory, "B"),
      statusText(trials, epochs),
    ]),
  ];
}

/** `3 finished`; `2 finished, 1 failed`; `3 pruned at epoch 1` */
function statusText(trials: TaskResults["rows"][number]["trials"], epochs: number): string {
  const parts = Object.entries(trials).filter(([, count]) => count > 0);
  return parts
    .map(([status, count]) => `${count} ${status}${status === "pruned" ? ` at epoch ${epochs}` : ""}`)
    .join(", ");
}

/** What the numbers say of which configuration is best, and no more. */
export function summaryOf({ task, metric, best, reportedSeparately, rows, chosen, next }: TaskResults): string {
  const row = rows.find(({ label }) => label === chosen);
  if (!row?.heldOut) return `${task}: no configuration has finished with all its seeds.`;
  const what = reportedSeparately ? `; on the data that played no part in the choice it has ${spread(row.score!)}` : "";
  const of = counted(row.trials.finished, "seed");
  const first = `${task}: the ${best} ${metric} on the held-out examples, ${spread(row.heldOut)} over ${of}, is that of ${chosen}${what}.`;
  if (!next || next.difference.count === 0) return first;
  const { mean, deviation, count } = next.difference;
  if (deviation === undefined) return `${first} One seed says nothing of chance.`;
  const verdict = isBeyondChance(next.difference)
    ? "more than chance between seeds explains"
    : "no more than chance between seeds explains";
  const error = deviation / Math.sqrt(count);
  return `${first} ${next.label} comes next; the scores of the two differ by ${number(mean)} (standard error ${number(error)}), ${verdict}.`;
}

const COLUMNS: { name: string; value: (row: TrialRow) => string | number | undefined }[] = [
  { name: "id", value: ({ id }) => id },
  { name: "task", value: ({ task }) => task },
  { name: "seed", value: ({ seed }) => seed },
  { name: "status", value: ({ status }) => status },
  { name: "epochs", value: ({ epochs }) => epochs },
  { name: "metric", value: ({ metric }) => metric },
  { name: "heldOut", value: ({ heldOut }) => heldOut },
  { name: "reported", value: ({ reported }) => reported },
  { name: "trainable", value: ({ trainable }) => trainable },
  { name: "seconds", value: ({ seconds }) => seconds },
  { name: "peakMemory", value: ({ peakMemory }) => peakMemory },
  { name: "flops", value: ({ flops }) => flops },
  { name: "reason", value: ({ reason }) => reason },
];

/** One line a trial, a column for each factor. */
export function studyCsv({ trials }: StudyResults): string {
  const factors = [...new Set(trials.flatMap(({ values }) => Object.keys(values)))];
  const lines = trials.map((row) => [
    ...factors.map((factor) => row.values[factor]),
    ...COLUMNS.map(({ value }) => value(row)),
  ]);
  return csvOf([[...factors, ...COLUMNS.map(({ name }) => name)], ...lines]);
}

/** The page of a study as Markdown. */
export function studyMarkdown(results: StudyResults): string {
  const { title, about, notes, tasks, trials, freezing } = results;
  const failed = trials.filter(({ status }) => status === "failed");
  const parts = [
    `# ${title}`,
    ...(about === undefined ? [] : [about]),
    ...taskTables(results).flatMap(({ rows, summary }) => [markdownTable(rows), summary]),
    "Mean ± standard deviation over seeds; trainable parameters are averaged over training, the head not counted.",
    ...notes,
    ...tasks.flatMap(({ task, metric, effects }) =>
      effects.length < 2
        ? []
        : [
            `## What each factor does by itself: ${task}, ${metric}`,
            markdownTable([
              ["factor", "value", metric, "configurations"],
              ...effects.flatMap(({ factor, levels }) =>
                levels.map(({ level, score, configurations }) => [
                  factor,
                  level,
                  spread(score),
                  String(configurations),
                ]),
              ),
            ]),
          ],
    ),
    ...freezingParts(freezing),
    ...(failed.length > 0
      ? ["## Failed", failed.map(({ directory, reason }) => `- ${directory}: ${reason}`).join("\n")]
      : []),
    `${counted(trials.length, "trial")}, ${duration(trials.reduce((sum, { seconds = 0 }) => sum + seconds, 0))} of training.`,
  ];
  return `${parts.join("\n\n")}\n`;
}

function freezingParts({ orders, agreements }: StudyResults["freezing"]): string[] {
  if (orders.length === 0) return [];
  const { rows, agreementRows } = freezingTables({ orders, agreements });
  return [
    "## In which order matrices froze",
    markdownTable(rows),
    "Spearman's rank correlation of the step at which each matrix froze, between every two seeds, as mean ± deviation over pairs; then the kinds of matrices from the first to freeze to the last, with their mean place in the order (0 the first, 1 the last).",
    ...(agreementRows.length > 1 ? [markdownTable(agreementRows)] : []),
  ];
}

/** The freezing order as tables: between seeds, and between configurations. */
export function freezingTables({ orders, agreements }: StudyResults["freezing"]): {
  rows: string[][];
  agreementRows: string[][];
} {
  return {
    rows: [
      ["configuration", "runs", "between seeds", "kinds, the first to freeze first"],
      ...orders.map(({ label, runs, betweenSeeds, kinds }) => [
        label,
        String(runs),
        orDash(betweenSeeds),
        kinds.map(({ kind, place }) => `${kind} ${spread(place)}`).join(", "),
      ]),
    ],
    agreementRows: [
      ["configuration", "and", "rank correlation of their mean orders"],
      ...agreements.map(({ labels: [a, b], correlation }) => [a, b, number(correlation)]),
    ],
  };
}
