import { parseCsv } from "../src/datasets/parse-csv.ts";
import { markdownTable } from "../src/reports/markdown-table.ts";
import { difference, number, spread } from "../src/reports/quantities.ts";
import { grouped, isBeyondChance, mean, median, spreadOf } from "../src/studies/statistics.ts";
import { withDraws } from "./draw-tables.ts";

/** The first column of `study.csv` that is no factor of the study. */
const FIRST_COLUMN = "id";
/** Factors that a table says elsewhere. */
const TOLD = ["learningRate", "task"];

interface Trial {
  setting: string;
  learningRate: string;
  data: string;
  stage: string;
  seed: string;
  metric: string;
  heldOut: number;
  score: number;
  error: number;
  sameAnswer: number;
  /** At the start, on average, at the end. */
  trainable: number[];
  /** By name. */
  more: Record<string, number>;
}

/** Where a page has a summary's tables: its path, and metrics that are to have a column beside the one that settings are chosen by. */
const PLACE =
  /(<!-- tables of (studies\/results\/[\w-]+\.csv)(?:, with ([\w, ]+))? -->\n)[\s\S]*?(\n<!-- end of tables -->)/g;

/** Where a page has the table of a summary by `scripts/freezing-steps.ts`. */
const STEPS = /(<!-- steps in (studies\/results\/[\w-]+\.csv) -->\n)[\s\S]*?(\n<!-- end of steps -->)/g;

/**
 * A page with its tables made again.
 * @param read the text of a file of the repository
 */
export function withTables(page: string, read: (path: string) => string): string {
  const made = page.replace(PLACE, (_, start: string, path: string, more: string | undefined, end: string) => {
    const tables = summaryTables(read(path), more?.split(", "));
    return `${start}\n${tables}\n${end}`;
  });
  return withDraws(made, read).replace(STEPS, (_, start: string, path: string, end: string) => {
    return `${start}\n${stepsTable(read(path))}\n${end}`;
  });
}

/** The step at which each matrix froze, as a mean over seeds: a line for each task and matrix, a column for each block. */
function stepsTable(csv: string): string {
  const [, ...lines] = parseCsv(csv, "freezing steps").map(({ cells }) => cells);
  const blocks = [...grouped(lines, ([, , block]) => block!).keys()].toSorted((a, b) => Number(a) - Number(b));
  const rows = [...grouped(lines, ([task, , , matrix]) => `${task}, ${matrix}`)].map(([name, own]) => {
    const steps = (block: string): number[] =>
      own.filter((cells) => cells[2] === block).map((cells) => Number(cells[4]));
    return [name, ...blocks.map((block) => number(Math.round(mean(steps(block)))))];
  });
  return markdownTable([["block", ...blocks], ...rows.toSorted(([a], [b]) => a!.localeCompare(b!))]);
}

/**
 * The tables that a study's summary comes to: for each task its settings, with paired differences from the first of them, and the
 * learning rates that were tried. Trials that have not finished are left out.
 * @param csv a study's `study.csv`
 * @param more other metrics to show
 */
export function summaryTables(csv: string, more: readonly string[] = []): string {
  const all = trialsIn(csv, more);
  return [...grouped(all, ({ data }) => data)].map(([data, trials]) => tablesOf(data, trials)).join("\n\n");
}

function trialsIn(csv: string, more: readonly string[]): Trial[] {
  const [heading, ...lines] = parseCsv(csv, "study.csv").map(({ cells }) => cells);
  const factors = heading!.slice(0, heading!.indexOf(FIRST_COLUMN)).filter((name) => !TOLD.includes(name));
  return lines.flatMap((cells) => {
    const cell = (name: string): string => cells[heading!.indexOf(name)] ?? "";
    const value = (name: string): number => (cell(name) === "" ? Number.NaN : Number(cell(name)));
    if (cell("status") !== "finished") return [];
    return {
      setting: factors.map(cell).join(", "),
      learningRate: cell("learningRate"),
      data: cell("data"),
      stage: cell("stage"),
      seed: cell("seed"),
      metric: cell("metric"),
      heldOut: value("heldOut"),
      score: value("score"),
      error: value("error"),
      sameAnswer: value("sameAnswer"),
      trainable: ["trainableStart", "trainable", "trainableEnd"].map(value),
      more: Object.fromEntries(more.map((name) => [name, value(name)])),
    };
  });
}

function tablesOf(data: string, trials: readonly Trial[]): string {
  const compared = trials.filter(({ stage }) => stage === "");
  const settings = [...grouped(compared, ({ setting }) => setting)];
  const [first] = settings;
  const { metric, sameAnswer, more } = compared[0]!;
  const spreadBy = (score: (trial: Trial) => number) => (own: readonly Trial[]) => spread(spreadOf(own.map(score)));
  const columns: Record<string, (own: readonly Trial[], setting: string) => string> = {
    setting: (_, setting) => setting,
    "learning rate": ([any]) => any!.learningRate,
    seeds: (own) => String(own.length),
    [`${data} ${metric}`]: spreadBy(({ score }) => score),
    [`− ${first![0]}`]: (own, setting) => (setting === first![0] ? "" : differenceOf(own, first![1])),
    ...Object.fromEntries(Object.keys(more).map((name) => [name, spreadBy((trial) => trial.more[name]!)])),
    // Where nothing was held out, the score chose.
    "held out": (own) =>
      own.every(({ heldOut, score }) => heldOut === score) ? "" : spreadBy(({ heldOut }) => heldOut)(own),
    "trainable: start, average, end": trainableOf,
  };
  const shown = Object.entries(columns)
    .map(([name, cell]) => [name, ...settings.map(([setting, own]) => cell(own, setting))])
    .filter(([, ...cells]) => cells.some((each) => each !== ""));
  const rows = shown[0]!.map((_, i) => shown.map((column) => column[i]!));
  // A model that answers all examples alike has no standard error.
  const errors = compared.map(({ error }) => error).filter((error) => !Number.isNaN(error));
  const said = [
    `With this number of examples, a score's standard error is about ${number(Number(median(errors).toPrecision(2)))}.`,
    ...(Number.isNaN(sameAnswer) ? [] : [`Giving all examples the same answer scores ${number(sameAnswer)}.`]),
  ];
  return [markdownTable(rows), said.join(" "), ...ratesOf(trials)].join("\n\n");
}

/** Means over seeds; one number where it stays. */
function trainableOf(own: readonly Trial[]): string {
  const means = [0, 1, 2].map((i) => number(Math.round(mean(own.map(({ trainable }) => trainable[i]!)))));
  return [...new Set(means)].join(", ");
}

/** By how much seeds score higher than with another setting; what chance between seeds does not explain has a star. */
function differenceOf(own: readonly Trial[], other: readonly Trial[]): string {
  const differences = own.flatMap(({ seed, score }) => {
    const beside = other.find((trial) => trial.seed === seed);
    return beside ? [score - beside.score] : [];
  });
  if (differences.length === 0) return "–";
  const paired = spreadOf(differences);
  const ahead = difference(paired.mean, 4);
  if (paired.deviation === undefined) return ahead;
  const error = paired.deviation / Math.sqrt(paired.count);
  return `${ahead} ± ${error.toFixed(4)}${isBeyondChance(paired) ? " *" : ""}`;
}

/** The learning rates that each setting tried, with the score on its held-out examples, and on those that chose nothing. */
function ratesOf(trials: readonly Trial[]): string[] {
  const tried = trials.filter(({ stage }) => stage !== "");
  if (tried.length === 0) return [];
  const rows = [...grouped(tried, ({ setting }) => setting)].map(([setting, own]) => [
    setting,
    own
      .toSorted((a, b) => Number(a.learningRate) - Number(b.learningRate))
      .map(({ learningRate, heldOut, score }) => `${learningRate}: ${number(heldOut)} (${number(score)})`)
      .join(", "),
  ]);
  return [markdownTable([["setting", "learning rate: held-out score (reported score)"], ...rows])];
}
