import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { writeAtomically } from "../../checkpoints/atomic-file-node.ts";
import { UserError } from "../../errors.ts";
import { COST_REFERENCE } from "../../methods/methods.ts";
import { markdownTable } from "../../reports/markdown-table.ts";
import { renderComparison } from "../../reports/report.ts";
import { measuredOn } from "../../reports/run-page.ts";
import { type ComparisonOutcome, type RunEnd, runComparison, type Trial } from "../../studies/compare.ts";
import { type Comparison, type ComparisonRow, compareRuns } from "../../studies/comparison.ts";
import { type ComparisonOptions, planComparison, settingName } from "../../studies/plan.ts";
import type { Spread } from "../../studies/statistics.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addRunOptions, givenOptions } from "../schema-options.ts";
import { bytes, integer, table } from "../terminal/format.ts";
import { SIGNALS } from "../terminal/stop-signals.ts";

const EXAMPLES = [
  "aflora compare --methods aflora,lora,vera --tasks rte,cola --data glue --seeds 1,2,3",
  "aflora compare --methods aflora,lora --ranks 2,4,8 --tasks rte --data glue --epochs 5",
  "aflora compare --methods aflora,lora --train tickets.csv --text message --label team --validation held.csv --search",
];

const NOTE = "The same command again goes on where it stopped: finished runs are kept.";

const FAILED = 1;

/** What most comparisons are given. */
const EVERYDAY = [
  ...["methods", "tasks", "seeds", "ranks", "output", "preset", "search", "markdown", "json", "model", "data"],
  ...["train", "validation", "text", "label", "epochs", "batchSize"],
];

/** Options of a run that a comparison sets itself; one rank for every method is --ranks with one number. */
const OWN = ["method", "task", "seed", "output", "rank"];

/** `aflora compare` */
export function compareCommand(): Command {
  const command = new Command("compare")
    .requiredOption("--methods <names>", "methods, parted by commas", words)
    .option("--tasks <names>", "GLUE tasks, parted by commas, read from --data", words)
    .option("--seeds <numbers>", "seeds, parted by commas (default: 42)", numbers)
    .option("--ranks <numbers>", "ranks for every method that has one (each method's own)", numbers)
    .option("--output <dir>", "folder of the comparison, a run folder each in it (default: runs/compare)")
    .option("--preset <name>", "paper: each method's published settings of a task")
    .option("--search", "give every method the same number of learning rates to try on a split of the training data")
    .option("--trials <n>", "learning rates to try with --search (default: 4)", Number)
    .option("--markdown", "show the table as Markdown")
    .option("--json", "show the comparison as JSON");
  addRunOptions(command, OWN);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES, NOTE).action(async () => {
    const { markdown, json, ...flags } = givenOptions<Flags>(command);
    const options = comparisonOf(flags);
    const plan = await planComparison(options);
    const { output } = options;
    for (const note of plan.notes) log(note);
    const outcome = await runComparison(plan, options, trainInProcess, log);
    const comparison = compareRuns(outcome.runs);
    await mkdir(output, { recursive: true });
    const write = (name: string, text: string): Promise<void> =>
      writeAtomically(join(output, name), (file) => file.writeFile(text));
    const text = `${JSON.stringify(summary(options, plan.notes, outcome, comparison), null, 2)}\n`;
    await write("comparison.json", text);
    await write("comparison.md", markdownPage(comparison, plan.notes, outcome));
    if (outcome.runs.length > 0) await write("report.html", renderComparison(comparison));
    if (json) process.stdout.write(text);
    else if (outcome.runs.length > 0) {
      const rows = cells(comparison);
      const data = dataLines(comparison);
      const shown = markdown ? [markdownTable(rows), markdownList(data)] : [table(rows), data.join("\n")];
      process.stdout.write(`${shown.join("\n\n")}\n`);
    }
    for (const { directory, reason } of outcome.failed) log(`failed: ${directory}: ${reason}`);
    if (outcome.interrupted) log("interrupted; the same command again goes on from here");
    else log(`comparison.md, comparison.json and report.html are in ${output}`);
    process.exitCode = outcome.interrupted ? INTERRUPTED : outcome.failed.length > 0 ? FAILED : 0;
  });
}

interface Flags {
  methods: string[];
  tasks?: string[];
  seeds?: number[];
  ranks?: number[];
  output?: string;
  preset?: string;
  search?: boolean;
  trials?: number;
  markdown?: boolean;
  json?: boolean;
  [option: string]: unknown;
}

function comparisonOf(flags: Flags): ComparisonOptions {
  const { methods, tasks = [], seeds = [42], ranks = [], output = join("runs", "compare"), ...others } = flags;
  const { preset, search, trials, ...options } = others;
  if (preset !== undefined && preset !== "paper") throw new UserError(`--preset must be paper, not "${preset}"`);
  if (trials !== undefined && !search) throw new UserError("--trials is the number of trials of --search; give both");
  if (trials !== undefined && (!Number.isInteger(trials) || trials < 1)) {
    throw new UserError("--trials must be a whole number, at least 1");
  }
  return {
    methods: [...new Set(methods)],
    tasks: [...new Set(tasks)],
    seeds: [...new Set(seeds)],
    ranks: [...new Set(ranks)],
    output,
    ...(preset && { preset }),
    ...(search && { search: { trials: trials ?? 4 } }),
    options,
  };
}

function words(text: string): string[] {
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

function numbers(text: string): number[] {
  return words(text).map((word) => {
    if (!/^\d+$/.test(word)) throw new UserError(`"${word}" is no whole number; give numbers parted by commas`);
    return Number(word);
  });
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/**
 * A run in a process of its own, so that its peak memory is its own and a crash takes nothing else with it. Ctrl-C goes
 * to that process, which saves what `resume` needs.
 */
async function trainInProcess(
  config: Readonly<Record<string, unknown>>,
  { resume }: { resume: boolean },
): Promise<RunEnd> {
  const folder = await mkdtemp(join(tmpdir(), "aflora-"));
  try {
    const file = join(folder, "config.json");
    // A run that goes on has its options already, but for where to compute.
    const { output, threads, device, offline } = config;
    await writeFile(file, JSON.stringify(resume ? { output, threads, device, offline } : config));
    const program = [...process.execArgv, process.argv[1]!, "train", "--config", file];
    // A group of its own: a terminal sends Ctrl-C to whole groups, and a second one would end the run unsaved. On Windows
    // a kill would: there Ctrl-C reaches the run through the console that it shares with this process.
    const windows = process.platform === "win32";
    const child = spawn(process.execPath, [...program, resume ? "--resume" : "--overwrite"], {
      stdio: ["ignore", process.stderr, "inherit"],
      detached: !windows,
    });
    let asked = false;
    const forward = (signal: NodeJS.Signals): void => {
      asked = true;
      if (!windows) child.kill(signal);
    };
    for (const signal of SIGNALS) process.on(signal, forward);
    try {
      const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
        child.on("error", reject).on("close", (...end) => resolve(end));
      });
      if (code === 0) return "finished";
      if (code === INTERRUPTED || asked) return "interrupted";
      if (signal) return { failed: `ended by ${signal} (${constants.signals[signal]})` };
      return { failed: `exit code ${code}, for the reason above` };
    } finally {
      for (const signal of SIGNALS) process.off(signal, forward);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `comparison.json`: what was asked for, its numbers, and what every run came to. */
function summary(
  options: ComparisonOptions,
  notes: readonly string[],
  { runs: _, ...outcome }: ComparisonOutcome,
  { runs, ...numbers }: Comparison,
): object {
  const results = runs.map(({ label, task, run: { directory, config, result } }) => {
    const { learningRate, headLearningRate } = config.run;
    const { method, seed } = result;
    return { directory, label, task, method, seed, learningRate, headLearningRate, result };
  });
  return { ...options, notes, ...numbers, runs: results, ...outcome };
}

/** The comparison as rows of text, the first its heading. */
function cells({ rows, data }: Comparison): string[][] {
  const columns = new Map<string, (row: ComparisonRow) => Spread | undefined>();
  for (const { scores } of rows) {
    for (const [task, metrics] of Object.entries(scores)) {
      for (const metric of Object.keys(metrics)) {
        columns.set(`${data[task]!.name} ${metric}`, (row) => row.scores[task]?.[metric]);
      }
    }
  }
  return [
    [
      "method",
      ...columns.keys(),
      "average",
      "trainable",
      "s/step",
      "peak memory",
      `FLOPs, ${COST_REFERENCE.label} = 1`,
    ],
    ...rows.map((row) => [
      row.label,
      ...[...columns.values()].map((value) => score(value(row))),
      score(row.average),
      row.costs ? integer(row.costs.trainable) : "–",
      row.costs?.secondsPerStep.toPrecision(3) ?? "–",
      bytes(row.peakMemory),
      row.relativeCosts?.flops.toFixed(2) ?? "–",
    ]),
  ];
}

/** What the scores of each column are of. */
function dataLines({ data }: Comparison): string[] {
  return Object.values(data).map((of) => `${of.name}: ${measuredOn(of)}`);
}

function score(spread: Spread | undefined): string {
  if (!spread) return "–";
  const { mean, deviation } = spread;
  return deviation === undefined ? mean.toFixed(4) : `${mean.toFixed(4)} ± ${deviation.toFixed(4)}`;
}

const markdownList = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join("\n");

function trialText({ learningRate, score, loss }: Trial): string {
  return `${learningRate}: ${score === undefined ? "failed" : `${score.toFixed(4)} (${loss!.toFixed(4)})`}`;
}

function markdownPage(comparison: Comparison, notes: readonly string[], outcome: ComparisonOutcome): string {
  const sections = ["# Comparison"];
  if (comparison.rows.length > 0) {
    sections.push(
      markdownTable(cells(comparison)),
      markdownList(dataLines(comparison)),
      "Mean ± standard deviation over seeds. Trainable parameters are averaged over training, the head not counted; time is the median step's, FLOPs are those spent in training.",
    );
  }
  if (notes.length > 0) sections.push(markdownList(notes));
  if (outcome.searches.length > 0) {
    const searched = outcome.searches.map(({ task, method, rank, trials, chosen }) => [
      task,
      settingName({ method, rank }),
      trials.map(trialText).join(", "),
      chosen ? String(chosen.learningRate) : "–",
    ]);
    sections.push(
      "## Learning rates tried on a split of the training data",
      markdownTable([["task", "method", "score (lowest loss) by learning rate", "chosen"], ...searched]),
    );
  }
  if (outcome.failed.length > 0) {
    sections.push("## Failed", markdownList(outcome.failed.map(({ directory, reason }) => `${directory}: ${reason}`)));
  }
  return `${sections.join("\n\n")}\n`;
}
