import type { RunRecords } from "../runs/read-run.ts";
import type { ScoredData } from "../runs/run-data.ts";
import type { FrozenBlocksResult, RunResult } from "../runs/run-result.ts";
import { comparedScores, findingPictures, findingTables } from "./answers.ts";
import { blockPictures } from "./block-pictures.ts";
import { calibrationPictures } from "./calibration-picture.ts";
import { freezingPictures } from "./freezing-pictures.ts";
import { whyKept } from "./kept-epoch.ts";
import { figure, html, type Markup, type Picture, type Table, table } from "./page.ts";
import { counted, duration, metricsText, number, prefixed } from "./quantities.ts";
import { rewardPictures, sampleTables } from "./reward-pictures.ts";
import { scorePictures, scoreTables } from "./score-pictures.ts";
import { trainingPictures } from "./training-pictures.ts";
import { workerTables } from "./worker-table.ts";

/** Data for the page of a run, wherever it was trained. */
export interface ReportedRun extends Pick<RunRecords, "steps" | "evaluations" | "freezing" | "result"> {
  method: string;
  model: string;
  seed: number;
  data: ScoredData;
  /** All options by name. */
  options: Readonly<Record<string, unknown>>;
  /** Facts that the run has about its answers to held-out examples. */
  findings?: RunRecords["findings"];
  /** For embeddings and rerankers whose run has a folder. */
  scores?: RunRecords["scores"];
  /** The run's folder, if it has one. */
  directory?: string;
}

export const runTitle = ({ method, data }: ReportedRun): string => `${method} on ${data.name}`;

/** Content of the page of a run. If the run is still being written, its records so far. */
export function runContent(run: ReportedRun): Markup {
  const { result, steps, evaluations, data } = run;
  const state = result
    ? `Best epoch ${number(result.bestEpoch)}: ${metricsText(result.metrics, result.errors)}.`
    : `${counted(steps.length, "step")} so far.${evaluations.length ? ` Latest: ${metricsText(evaluations.at(-1)!.metrics)}.` : ""}`;
  const tables = [...scoreTables(run), ...sampleTables(run), ...workerTables(run.steps), facts(run), options(run)];
  const why = whyKept(run);
  const said = [state, measuredOn(data), why && `Note that ${why}.`].filter(Boolean).join(" ");
  return content(runTitle(run), said, runPictures(run), tables, { notes: result?.notes, first: answers(run) });
}

/** The first questions: how good the model is, and where it is wrong. */
function answers(run: Pick<ReportedRun, "evaluations" | "findings" | "result">): Markup {
  const { tables = [] } = run.findings ?? {};
  const shown = [...comparedScores(run), ...findingTables(tables)];
  return html`<section class="answers">${shown.map(table)}</section>
${figures(findingPictures(tables), "answers")}`;
}

/** All pictures of a run for which records exist. */
export function runPictures(
  run: Pick<ReportedRun, "steps" | "evaluations" | "freezing" | "scores" | "result">,
): Picture[] {
  const { steps, freezing } = run;
  return [
    ...rewardPictures(run),
    ...trainingPictures(run),
    ...scorePictures(run),
    ...calibrationPictures(run),
    ...freezingPictures(freezing),
    ...blockPictures(freezing, steps.at(-1)?.step ?? 0),
  ];
}

/** The pictures as figures. */
const figures = (pictures: readonly Picture[], id = "picture"): Markup => html`<div class="pictures">
${pictures.map((picture, i) => figure(picture, `${id}-${i + 1}`))}</div>`;

/** A page of pictures and tables. @param more.notes that the reader should see first @param more.first what comes before the pictures */
export function content(
  title: string,
  state: string,
  pictures: Picture[],
  tables: Table[],
  { notes = [], first }: { notes?: readonly string[] | undefined; first?: Markup } = {},
): Markup {
  return html`<h1>${title}</h1>
${state && html`<p>${state}</p>`}
${notes.length === 0 ? "" : html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
${first}
${figures(pictures)}
<section class="facts">${tables.map(table)}</section>
`;
}

/** Text such as `90 training examples; scored on 10 held out (10 %, drawn by seed 42).` */
export const measuredOn = ({ trainedOn, scoredOn }: ScoredData): string =>
  `${trainedOn} training examples; scored on ${scoredOn}.`;

/** Table of a run's results. */
function facts(run: ReportedRun): Table {
  const { result, steps, freezing, directory } = run;
  const { name, trainedOn, scoredOn } = run.data;
  const data: [string, string][] = [
    ["data", name],
    ["examples trained on", trainedOn],
    ["examples scored on", scoredOn],
  ];
  const compiling = freezing.reduce((sum, { compileSeconds }) => sum + compileSeconds, 0);
  const rows: [string, string | number][] = result
    ? [
        ["method", result.method],
        ...data,
        ["model", result.model],
        ["seed", String(result.seed)],
        [`metrics, best epoch (${number(result.bestEpoch)})`, metricsText(result.metrics, result.errors)],
        ...(result.float32Metrics
          ? [["metrics on the float32 base model", metricsText(result.float32Metrics)] as [string, string]]
          : []),
        [`metrics, last epoch (${number(result.epochs)})`, metricsText(result.lastEpochMetrics)],
        ["trainable parameters at the start", number(result.trainable.start)],
        ["trainable parameters, average", number(Math.round(result.trainable.average))],
        ["trainable parameters at the end", number(result.trainable.end)],
        ["trainable parameters of the head", number(result.trainable.head)],
        ["matrices frozen", `${result.frozen.count} of ${result.frozen.of}`],
        ...(result.blocks ? frozenBlockFacts(result.blocks) : []),
        ["steps", number(result.steps)],
        ["epochs", number(result.epochs)],
        ["time", duration(result.seconds)],
        ["median time of a step", duration(result.secondsPerStep)],
        ["compiling after freezing", duration(compiling)],
        ["tokens per second", number(Math.round(result.tokensPerSecond))],
        ["peak memory", prefixed(result.peakMemory, "B")],
        ["memory expected before training", prefixed(result.memoryEstimate.total, "B")],
        ...(result.rollout ? rolloutFacts(result.rollout) : []),
        ["floating-point operations", prefixed(result.flops, "FLOP")],
        ["adapter file", prefixed(result.adapterBytes, "B")],
      ]
    : [
        ["method", run.method],
        ...data,
        ["model", run.model],
        ["seed", String(run.seed)],
        ["steps", number(steps.length)],
      ];
  const place: [string, string][] = directory === undefined ? [] : [["folder", directory]];
  return { caption: "Facts of the run", columns: ["fact", "value"], rows: [...rows, ...place] };
}

/** Times of the answers of a run that learns from rewards. */
function rolloutFacts(rollout: NonNullable<RunResult["rollout"]>): [string, string][] {
  const { answers, failed, generating, scoring, stepping } = rollout;
  return [
    ["answers written in training", number(answers)],
    ["answers whose reward failed", number(failed)],
    ["time of writing answers", duration(generating)],
    ["time of rewards", duration(scoring)],
    ["time of learning", duration(stepping)],
  ];
}

/** Effect of freezing blocks. */
function frozenBlockFacts({
  frozenAtStep,
  flopsSaved,
  secondsSaved,
  activationsSaved,
  kept,
}: FrozenBlocksResult): [string, string][] {
  const frozenBlocks = frozenAtStep.filter((step) => step !== null);
  return [
    ["blocks frozen", `${frozenBlocks.length} of ${frozenAtStep.length}`],
    ["operations saved by frozen blocks", prefixed(flopsSaved, "FLOP")],
    ["approximate time saved by frozen blocks", secondsSaved > 0 ? duration(secondsSaved) : "none"],
    ["expected memory of a step saved at the end", prefixed(activationsSaved, "B")],
    ["hidden states kept in memory", prefixed(kept.memory, "B")],
    ["hidden states kept in a file", prefixed(kept.file, "B")],
  ];
}

/** The run's options, given or default. */
function options({ options }: ReportedRun): Table {
  return {
    caption: "Options",
    columns: ["option", "value"],
    rows: Object.entries(options).map(([option, value]) => [option, text(value)]),
  };
}

/** A value of an option, for a table. */
export const text = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? "–"));
