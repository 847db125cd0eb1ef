import { removeOldTemporaries, writeAtomically } from "../checkpoints/atomic-file-node.ts";
import { UserError } from "../errors.ts";
import { type Comparison, compareRuns } from "../experiments/comparison.ts";
import { checkComparable, labelRuns } from "../experiments/label-runs.ts";
import { type FinishedRun, type RunRecords, readFinishedRun } from "../runs/read-run.ts";
import { flatOptions } from "../runs/run-config.ts";
import { scoredData } from "../runs/run-data.ts";
import { comparisonContent, measuredOn, metricsText } from "./comparison.ts";
import { freezingPictures } from "./freezing-pictures.ts";
import { figure, html, type Markup, type Picture, page, type Table, table } from "./page.ts";
import { counted, duration, number, prefixed } from "./quantities.ts";
import { trainingPictures } from "./training-pictures.ts";

/**
 * The report of one run, or of several compared, as one HTML page that needs nothing from outside and runs no script.
 * Of several runs, those that have not finished are left out.
 * @throws {UserError} where there is nothing to show.
 */
export function renderReport(runs: RunRecords[]): string {
  if (runs.length === 1) return page(runTitle(runs[0]!), runContent(runs[0]!));
  const finished = runs.filter(hasResult);
  if (!finished.length) throw new UserError("there is no finished run to report; give the folder of at least one");
  return renderComparison(compareRuns(labelRuns(finished)));
}

/** The page of a comparison, likewise. */
export function renderComparison(comparison: Comparison): string {
  const title = `${counted(comparison.runs.length, "run")} compared`;
  const { pictures, facts } = comparisonContent(comparison);
  const { tasks, runs } = comparison;
  const mixed = tasks.length > new Set(runs.map(({ run }) => run.result.task)).size;
  const state = mixed
    ? "Runs on other data, or on another split of them, stand apart: their scores do not compare."
    : "";
  return page(title, content(title, state, pictures, [facts]));
}

/**
 * Reads finished runs and writes their report to `out`, all of it or nothing.
 * @throws {UserError} where a folder is no run, a run has not finished, or the runs have nothing to compare.
 */
export async function writeReport(directories: string[], out: string): Promise<void> {
  const runs = await Promise.all(directories.map(readFinishedRun));
  if (runs.length > 1) checkComparable(runs);
  const report = renderReport(runs);
  await removeOldTemporaries(out);
  await writeAtomically(out, (file) => file.writeFile(report));
}

const hasResult = (run: RunRecords): run is FinishedRun => run.result !== undefined;

export function runTitle(run: RunRecords): string {
  return `${run.config.method.name} on ${scoredData([run]).name}`;
}

/** What stands on the page of one run; of a run still being written, what there is so far. */
export function runContent(run: RunRecords): Markup {
  const { result, steps, evaluations } = run;
  const state = result
    ? `Best epoch ${result.bestEpoch}: ${metricsText(result.metrics)}.`
    : `${counted(steps.length, "step")} so far.${evaluations.length ? ` Latest: ${metricsText(evaluations.at(-1)!.metrics)}.` : ""}`;
  const pictures = [...trainingPictures(run), ...freezingPictures(run.freezing)];
  return content(runTitle(run), `${state} ${measuredOn(scoredData([run]))}`, pictures, [facts(run), options(run)]);
}

function content(title: string, state: string, pictures: Picture[], tables: Table[]): Markup {
  return html`<h1>${title}</h1>
${state && html`<p>${state}</p>`}
<div class="pictures">
${pictures.map((picture, i) => figure(picture, `picture-${i + 1}`))}</div>
<section class="facts">${tables.map(table)}</section>
`;
}

/** What the run came to. */
function facts(run: RunRecords): Table {
  const { result, config, steps, freezing, directory } = run;
  const { name, trainedOn = "–", scoredOn = "–" } = scoredData([run]);
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
        [`metrics, best epoch (${result.bestEpoch})`, metricsText(result.metrics)],
        ...(result.float32Metrics
          ? [["metrics on the float32 base model", metricsText(result.float32Metrics)] as [string, string]]
          : []),
        [`metrics, last epoch (${result.epochs})`, metricsText(result.lastEpochMetrics)],
        ["trainable parameters at the start", number(result.trainable.start)],
        ["trainable parameters, average", number(Math.round(result.trainable.average))],
        ["trainable parameters at the end", number(result.trainable.end)],
        ["trainable parameters of the head", number(result.trainable.head)],
        ["matrices frozen", `${result.frozen.count} of ${result.frozen.of}`],
        ["steps", number(result.steps)],
        ["epochs", number(result.epochs)],
        ["time", duration(result.seconds)],
        ["median time of a step", duration(result.secondsPerStep)],
        ["compiling after freezing", duration(compiling)],
        ["tokens per second", number(Math.round(result.tokensPerSecond))],
        ["peak memory", prefixed(result.peakMemory, "B")],
        ...(result.memoryEstimate
          ? [["memory expected before training", prefixed(result.memoryEstimate.total, "B")] as [string, string]]
          : []),
        ["floating-point operations", prefixed(result.flops, "FLOP")],
        ["adapter file", prefixed(result.adapterBytes, "B")],
      ]
    : [
        ["method", config.method.name],
        ...data,
        ["model", text(config.run.model)],
        ["seed", String(config.run.seed)],
        ["steps", number(steps.length)],
      ];
  return { caption: "Facts of the run", columns: ["fact", "value"], rows: [...rows, ["folder", directory]] };
}

/** The options that the run was given or took by default. */
function options({ config }: RunRecords): Table {
  return {
    caption: "Options",
    columns: ["option", "value"],
    rows: Object.entries(flatOptions(config)).map(([option, value]) => [option, text(value)]),
  };
}

const text = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "–"));
