import { csvOf } from "../datasets/write-csv.ts";
import { COST_REFERENCE } from "../methods/methods.ts";
import type { RunResult } from "../runs/run-result.ts";
import type { ScoredTrial } from "../studies/scored-trial.ts";
import { isBeyondChance, type Spread } from "../studies/statistics.ts";
import type { SettingRow, StudyResults, TaskResults, TrialRow } from "../studies/study-results.ts";
import { markdownTable } from "./markdown-table.ts";
import type { Table } from "./page.ts";
import { counted, duration, metricsText, number, prefixed, spread } from "./quantities.ts";

const orDash = (value: Spread | undefined): string => (value ? spread(value) : "–");

/** All settings: their scores on each task and on average, and their costs. The first row is the heading. */
export function settingsTable({ tasks, settings }: StudyResults): string[][] {
  const rowOf = (task: TaskResults, setting: string) => task.rows.find((row) => row.setting === setting);
  const scores = tasks.flatMap((task) => scoreColumns(task).map((column) => ({ task, ...column })));
  const rows = settings.rows.map(({ setting }) => tasks.flatMap((task) => rowOf(task, setting) ?? []));
  const found = rows.some((of) => of.some((row) => row.found));
  const unfinished = rows.some((of) => of.some(({ trials: { finished: _, ...others } }) => anyOf(others)));
  const flops = settings.reference === undefined ? "FLOPs" : `FLOPs, ${COST_REFERENCE.label} = 1`;
  return [
    [
      "setting",
      ...scores.map(({ task, name }) => `${task.task} ${name}`),
      ...(tasks.length > 1 ? ["average"] : []),
      ...["trainable", "time", "s/step", "peak memory", flops],
      ...(found ? ["chosen"] : []),
      ...(unfinished ? ["trials"] : []),
    ],
    ...settings.rows.map(({ setting, average, costs, relativeCosts, peakMemory }, i) => [
      setting,
      ...scores.map(({ task, value }) => {
        const row = rowOf(task, setting);
        return orDash(row && value(row));
      }),
      ...(tasks.length > 1 ? [orDash(average)] : []),
      costs ? number(Math.round(costs.trainable)) : "–",
      costs ? duration(costs.seconds) : "–",
      costs ? number(Number(costs.secondsPerStep.toPrecision(3))) : "–",
      peakMemory === undefined ? "–" : prefixed(peakMemory, "B"),
      relativeCosts
        ? relativeCosts.flops.toFixed(2)
        : costs && settings.reference === undefined
          ? prefixed(costs.flops, "FLOP")
          : "–",
      ...(found ? [rows[i]!.map((row) => foundText(row.found)).join("; ")] : []),
      ...(unfinished ? [rows[i]!.map(statusText).join("; ")] : []),
    ]),
  ];
}

const anyOf = (counts: Record<string, number>): boolean => Object.values(counts).some((count) => count > 0);

/** Columns of reported metrics, and of the held-out examples that choose settings if they are others. */
function scoreColumns({
  metric,
  reportedSeparately,
  rows,
}: TaskResults): { name: string; value(row: SettingRow): Spread | undefined }[] {
  const names = [...new Set([metric, ...rows.flatMap(({ scores }) => Object.keys(scores))])];
  return [
    ...(reportedSeparately ? [{ name: `${metric}, held out`, value: ({ heldOut }: SettingRow) => heldOut }] : []),
    ...names.map((name) => ({ name, value: ({ scores }: SettingRow) => scores[name] })),
  ];
}

const foundText = (found: SettingRow["found"]): string =>
  Object.entries(found ?? {})
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

/** Text such as `3 finished`; `2 finished, 1 failed`; `3 pruned at epoch 1`. */
function statusText({ trials, epochs }: SettingRow): string {
  const parts = Object.entries(trials).filter(([, count]) => count > 0);
  return parts
    .map(([status, count]) => `${count} ${status}${status === "pruned" ? ` at epoch ${epochs}` : ""}`)
    .join(", ");
}

/** Tables of a search's other trials, one per stage. */
export function stageTables({ trials }: StudyResults): { title: string; rows: string[][] }[] {
  return [...new Set(trials.flatMap(({ stage }) => stage ?? []))].map((title) => {
    const own = trials.filter(({ stage }) => stage === title);
    return {
      title,
      rows: [
        ["data", "setting", "seed", "score", "lowest loss", "ended"],
        ...own.map((row) => [
          row.task,
          row.setting,
          String(row.seed),
          row.metric === undefined ? "–" : `${row.metric} ${number(row.heldOut)}`,
          number(row.heldOutLoss),
          endOf(row),
        ]),
      ],
    };
  });
}

const endOf = ({ status, reason }: Pick<TrialRow, "status" | "reason">): string =>
  reason === undefined ? status : `${status}: ${reason}`;

/** Describes the data of a task's scores. */
export function measuredOn({
  data: { trainedOn, scoredOn },
  reportedSeparately,
  error,
  sameAnswer,
}: Pick<TaskResults, "data" | "reportedSeparately" | "error" | "sameAnswer">): string {
  if (scoredOn === undefined) return "";
  const read = [
    ...(error === undefined ? [] : [`a score's standard error by the number of examples is ${number(error)}`]),
    ...(sameAnswer === undefined ? [] : [`the same answer for all has ${number(sameAnswer)}`]),
  ];
  return `${[`${trainedOn} training examples`, `${reportedSeparately ? "chosen on" : "scored on"} ${scoredOn}`, ...read].join("; ")}.`;
}

/** Describes which setting is best, as far as the numbers show it. */
export function summaryOf(results: TaskResults): string {
  const { task, metric, direction, reportedSeparately, rows, best, ties, next } = results;
  const row = rows.find(({ setting }) => setting === best);
  if (!row) return `${task}: no setting has finished with all its seeds.`;
  const score = spread((reportedSeparately ? row.heldOut : row.score)!);
  const what = reportedSeparately
    ? `; on the validation examples, which played no part in the choice, it has ${spread(row.score!)}`
    : "";
  const where = reportedSeparately ? " on the held-out examples" : "";
  const of = counted(row.trials.finished, "seed");
  const first = `${task}: ${best} is best, with the ${direction} ${metric}${where}, ${score} over ${of}${what}.`;
  if (ties.length > 0) {
    const losses = [best, ...ties].map((name) => rows.find(({ setting }) => setting === name)!.heldOutLoss);
    const decides = new Set(losses).size > 1 ? `; ${best} has the lowest loss of these` : "";
    return `${first} It ties with ${ties.join("; ")}${decides}.`;
  }
  if (!next?.difference) return first;
  const { mean, deviation, count } = next.difference;
  if (deviation === undefined) return `${first} With one seed, chance can explain this.`;
  const verdict = isBeyondChance(next.difference)
    ? "more than chance between seeds explains"
    : "no more than chance between seeds explains";
  const error = deviation / Math.sqrt(count);
  return `${first} Next is ${next.setting}; the two scores differ by ${number(mean)} (standard error ${number(error)}), ${verdict}.`;
}

/** All trials, one per row. */
export function trialTable(trials: readonly ScoredTrial[], { trials: rows }: StudyResults): Table {
  const blocksFreeze = trials.some(({ records }) => records?.result?.blocks);
  const reportedSeparately = trials.some(({ apart }) => apart);
  return {
    caption: "All trials",
    columns: [
      ...["setting", "data", "seed", "ended", "epochs", ...(reportedSeparately ? ["held out"] : []), "metrics"],
      ...["trainable, average", "head", "frozen", ...(blocksFreeze ? ["blocks frozen", "operations saved"] : [])],
      ...["folder", "time", "a step", "peak memory", "operations"],
    ],
    rows: trials.map((trial, i) => {
      const row = rows[i]!;
      const result = trial.records?.result;
      return [
        trial.setting,
        trial.task,
        String(trial.seed),
        endOf(row),
        trial.epochs,
        ...(reportedSeparately ? [number(row.heldOut)] : []),
        metricsText(row.scores) || "–",
        ...(result ? trainedCells(result, blocksFreeze) : Array<string>(blocksFreeze ? 5 : 3).fill("–")),
        trial.directory,
        ...(result ? costCells(result) : Array<string>(4).fill("–")),
      ];
    }),
  };
}

function trainedCells(result: RunResult, blocksFreeze: boolean): string[] {
  return [
    number(Math.round(result.trainable.average)),
    number(result.trainable.head),
    `${result.frozen.count} of ${result.frozen.of}`,
    ...(blocksFreeze ? frozenBlockCells(result) : []),
  ];
}

const costCells = ({ seconds, secondsPerStep, peakMemory, flops }: RunResult): string[] => [
  duration(seconds),
  duration(secondsPerStep),
  prefixed(peakMemory, "B"),
  prefixed(flops, "FLOP"),
];

/** Number of frozen blocks, and the share of operations that they saved. */
function frozenBlockCells({ blocks, flops }: RunResult): [string, string] {
  if (!blocks) return ["–", "–"];
  const frozenBlocks = blocks.frozenAtStep.filter((step) => step !== null).length;
  const share = (100 * blocks.flopsSaved) / (flops + blocks.flopsSaved);
  return [`${frozenBlocks} of ${blocks.frozenAtStep.length}`, `${number(Math.round(share))} %`];
}

const COLUMNS: { name: string; value: (row: TrialRow) => string | number | undefined }[] = [
  { name: "id", value: ({ id }) => id },
  { name: "data", value: ({ task }) => task },
  { name: "stage", value: ({ stage }) => stage },
  { name: "seed", value: ({ seed }) => seed },
  { name: "status", value: ({ status }) => status },
  { name: "epochs", value: ({ epochs }) => epochs },
  { name: "metric", value: ({ metric }) => metric },
  { name: "heldOut", value: ({ heldOut }) => heldOut },
  { name: "heldOutLoss", value: ({ heldOutLoss }) => heldOutLoss },
  { name: "score", value: ({ metric, scores }) => (metric === undefined ? undefined : scores[metric]) },
  { name: "error", value: ({ metric, errors }) => (metric === undefined ? undefined : errors[metric]) },
  { name: "sameAnswer", value: ({ metric, sameAnswer }) => (metric === undefined ? undefined : sameAnswer[metric]) },
  { name: "trainableStart", value: ({ trainableStart }) => trainableStart },
  { name: "trainable", value: ({ trainable }) => trainable },
  { name: "trainableEnd", value: ({ trainableEnd }) => trainableEnd },
  { name: "seconds", value: ({ seconds }) => seconds },
  { name: "secondsPerStep", value: ({ secondsPerStep }) => secondsPerStep },
  { name: "peakMemory", value: ({ peakMemory }) => peakMemory },
  { name: "flops", value: ({ flops }) => flops },
  { name: "reason", value: ({ reason }) => reason },
];

/** One line per trial: a column for each factor, with the value that a search chose, and at the end one for each other metric. */
export function studyCsv({ trials }: StudyResults): string {
  const factors = [...new Set(trials.flatMap(({ values }) => Object.keys(values)))];
  const others = [
    ...new Set(trials.flatMap(({ metric, scores }) => Object.keys(scores).filter((name) => name !== metric))),
  ];
  const lines = trials.map((row) => [
    ...factors.map((factor) => row.values[factor] ?? row.found?.[factor]),
    ...COLUMNS.map(({ value }) => value(row)),
    ...others.map((name) => row.scores[name]),
  ]);
  return csvOf([[...factors, ...COLUMNS.map(({ name }) => name), ...others], ...lines]);
}

/** The page of a study as Markdown. */
export function studyMarkdown(results: StudyResults): string {
  const { title, about, notes, tasks, trials, freezing } = results;
  const once = new Map(trials.map((row) => [row.directory, row]));
  const failed = trials.filter(({ status }) => status === "failed");
  const parts = [
    `# ${title}`,
    ...(about === undefined ? [] : [about]),
    ...(tasks.length > 0 ? [markdownTable(settingsTable(results))] : []),
    tasks.map((of) => `- ${summaryOf(of)} ${measuredOn(of)}`.trimEnd()).join("\n"),
    "Mean ± standard deviation over seeds; trainable parameters are averaged over training, the head not counted; costs are means over the tasks that all settings finished.",
    ...notes,
    ...stageTables(results).flatMap(({ title: stage, rows }) => [`## ${stage}`, markdownTable(rows)]),
    ...tasks.flatMap(({ task, metric, effects }) =>
      effects.length < 2
        ? []
        : [
            `## Effect of each factor: ${task}, ${metric}`,
            markdownTable([
              ["factor", "value", metric, "settings"],
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
    `${counted(once.size, "trial")}, ${duration([...once.values()].reduce((sum, { seconds = 0 }) => sum + seconds, 0))} of training.`,
  ];
  return `${parts.join("\n\n")}\n`;
}

function freezingParts({ orders, agreements }: StudyResults["freezing"]): string[] {
  if (orders.length === 0) return [];
  const { rows, agreementRows } = freezingTables({ orders, agreements });
  return [
    "## Order in which matrices froze",
    markdownTable(rows),
    "Spearman's rank correlation of the step at which each matrix froze, between every two seeds, as mean ± deviation over pairs; then the kinds of matrices from the first to freeze to the last, with their mean place in the order (0 the first, 1 the last).",
    ...(agreementRows.length > 1 ? [markdownTable(agreementRows)] : []),
  ];
}

/** The freezing order as tables: between seeds, and between settings. */
export function freezingTables({ orders, agreements }: StudyResults["freezing"]): {
  rows: string[][];
  agreementRows: string[][];
} {
  return {
    rows: [
      ["setting", "runs", "between seeds", "kinds, the first to freeze first"],
      ...orders.map(({ label, runs, betweenSeeds, kinds }) => [
        label,
        String(runs),
        orDash(betweenSeeds),
        kinds.map(({ kind, place }) => `${kind} ${spread(place)}`).join(", "),
      ]),
    ],
    agreementRows: [
      ["setting", "and", "rank correlation of their mean orders"],
      ...agreements.map(({ labels: [a, b], correlation }) => [a, b, number(correlation)]),
    ],
  };
}
