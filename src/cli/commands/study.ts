import { basename, extname, join } from "node:path";
import { Command } from "commander";
import { parse } from "yaml";
import { UserError } from "../../errors.ts";
import { writeStudyPages } from "../../reports/study.ts";
import { studyMarkdown, taskTables } from "../../reports/study-tables.ts";
import { runStudy, type StudyOutcome } from "../../studies/run-study.ts";
import { estimateStudy } from "../../studies/study-estimate.ts";
import { parseStudy, type Study } from "../../studies/study-file.ts";
import { planStudy, type StudyPlan } from "../../studies/study-plan.ts";
import { studyResults } from "../../studies/study-results.ts";
import { camelCase, camelKeys, readConfigFile } from "../config-file.ts";
import { addExamples, everydayHelp } from "../help.ts";
import { INTERRUPTED } from "../run-training.ts";
import { addRunOptions, givenOptions, kebabCase } from "../schema-options.ts";
import { runOnQueue, statusOnQueue } from "../study-queue.ts";
import { bytes, counted, duration, table } from "../terminal/format.ts";
import { onStopSignal } from "../terminal/stop-signals.ts";
import { StudyProgressLines } from "../terminal/study-progress.ts";
import { runTrialInProcess } from "../trial-process.ts";
import { queueUrl } from "./work.ts";

const EXAMPLES = [
  "aflora study ranks.yaml --dry-run",
  "aflora study ranks.yaml",
  "aflora study --vary beta1=0.5,0.85,0.95 --vary beta2=0.9,0.95 --task rte --data glue --epochs 3 --seeds 1,2,3",
  "aflora study --vary learningRate=0.001,0.004,0.016 --vary rank=4,8 --search halving --train tickets.csv --text message --label team",
];

const NOTE = "The same command again goes on where it stopped; a study that was changed keeps what still fits.";

const FAILED = 1;

const EVERYDAY = [
  ...[
    "vary",
    "search",
    "trials",
    "seeds",
    "metric",
    "holdOut",
    "output",
    "dryRun",
    "queue",
    "status",
    "markdown",
    "json",
  ],
  ...[
    "model",
    "method",
    "task",
    "data",
    "train",
    "validation",
    "text",
    "label",
    "epochs",
    "batchSize",
    "maxTrainSamples",
  ],
];

/** Options of a run that a study sets itself. */
const OWN = ["seed", "output", "validationSplit"];

/** `aflora study` */
export function studyCommand(): Command {
  const command = new Command("study")
    .argument("[file]", "what to vary and how, YAML or JSON (docs/studies.md)")
    .option("--vary <key=values>", "an option and the values to try, parted by commas; may be repeated", collect)
    .option("--search <how>", "grid (every combination), random, or halving (the best go on to more epochs)")
    .option("--trials <n>", "draws of a random search, or of halving in place of all combinations", Number)
    .option("--seeds <numbers>", "seeds of every combination, parted by commas (42)", numbers)
    .option("--metric <name>", "metric to choose by (each task's first)")
    .option("--hold-out <share>", "share of the training examples to choose on (0.2)", Number)
    .option("--output <dir>", "folder of the study, a run folder for each trial in it (runs/<name of the file>)")
    .option("--dry-run", "list the trials and estimate their time and memory from a few timed steps")
    .option("--queue [url]", "have aflora work do the trials, through this Valkey or Redis server (AFLORA_QUEUE)")
    .option("--status", "with --queue: show how far the study is, and start nothing")
    .option("--markdown", "show the table as Markdown")
    .option("--json", "show all numbers as JSON");
  addRunOptions(command, OWN);
  everydayHelp(command, EVERYDAY);
  return addExamples(command, EXAMPLES, NOTE).action(async (file: string | undefined) => {
    const { dryRun, queue, status, markdown, json, output: given, ...flags } = givenOptions<Flags>(command);
    const study = await studyOf(file, flags);
    const output = given ?? join("runs", file === undefined ? "study" : basename(file, extname(file)));
    const plan = await planStudy(study);
    if (dryRun) {
      await showPlan(plan, json === true);
      return;
    }
    const onQueue = queue === undefined ? undefined : queueUrl(queue);
    if (status) {
      process.stdout.write(await statusOnQueue(plan, output, onQueue ?? queueUrl(undefined)));
      return;
    }
    const outcome = onQueue === undefined ? await run(plan, output) : await runOnQueue(plan, output, onQueue);
    const results = studyResults(plan, outcome);
    await writeStudyPages(output, results, outcome);
    if (json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    else process.stdout.write(markdown ? studyMarkdown(results) : terminalText(results));
    const failed = outcome.trials.filter(({ status }) => status === "failed");
    for (const { directory, reason } of failed) log(`failed: ${directory}: ${reason}`);
    log(
      outcome.interrupted
        ? "interrupted; the same command again goes on from here"
        : `study.md, study.json, study.csv and report.html are in ${output}`,
    );
    process.exitCode = outcome.interrupted ? INTERRUPTED : failed.length > 0 ? FAILED : 0;
  });
}

interface Flags {
  vary?: [string, unknown[]][];
  search?: string;
  trials?: number;
  seeds?: number[];
  metric?: string;
  holdOut?: number;
  output?: string;
  dryRun?: boolean;
  queue?: string | true;
  status?: boolean;
  markdown?: boolean;
  json?: boolean;
  [option: string]: unknown;
}

/** The study of a file and flags, of which flags win. */
export async function studyOf(file: string | undefined, flags: Flags): Promise<Study> {
  const { vary = [], search, trials, seeds, metric, holdOut, ...options } = flags;
  const own = Object.entries({ search, trials, seeds, metric, holdOut }).filter(([, value]) => value !== undefined);
  const stored = file === undefined ? {} : await readConfigFile(file);
  const varied = { ...camelKeys(stored.vary), ...Object.fromEntries(vary) };
  const study = parseStudy(
    {
      ...stored,
      ...Object.fromEntries(own),
      vary: varied,
      options: { ...camelKeys(stored.options), ...options },
    },
    file === undefined ? "Study" : basename(file, extname(file)),
  );
  for (const name of Object.keys(options)) checkNotVaried(name, study);
  return study;
}

/** @throws UserError where a flag's option is a factor's, whose values would win without a word. */
function checkNotVaried(name: string, { factors }: Study): void {
  const factor = factors.find(
    ({ name: own, levels }) => own === name || levels?.some(({ options }) => name in options),
  );
  if (factor === undefined) return;
  throw new UserError(
    factor.name === name
      ? `the study varies ${name}: give its values with --vary ${name}=…, or leave --${kebabCase(name)} out`
      : `the study's factor "${factor.name}" sets ${name}: change it there, or leave --${kebabCase(name)} out`,
  );
}

async function run(plan: StudyPlan, output: string): Promise<StudyOutcome> {
  for (const note of plan.notes) log(note);
  const abort = new AbortController();
  const lines = new StudyProgressLines();
  const stopListening = onStopSignal(() => {
    abort.abort();
    lines.log("saving what is done; press Ctrl-C again to end at once");
  });
  try {
    const outcome = await runStudy(
      plan,
      output,
      (job) => runTrialInProcess(job, { signal: abort.signal, onNews: (news) => lines.news(news) }),
      lines,
    );
    return outcome;
  } finally {
    stopListening();
    lines.stop();
  }
}

async function showPlan(plan: StudyPlan, json: boolean): Promise<void> {
  const { configurations, rungs, notes, study } = plan;
  const estimate = await estimateStudy(plan, (label) => log(`timing a few steps: ${label}`));
  if (json) {
    const trials = configurations.flatMap(({ label, trials: of }) => of.map(({ id, seed }) => ({ id, label, seed })));
    process.stdout.write(`${JSON.stringify({ title: study.title, notes, rungs, trials, estimate }, null, 2)}\n`);
    return;
  }
  const rows = configurations.map(({ label, trials }, i) => [
    label,
    trials.map(({ seed }) => seed).join(", "),
    duration(estimate.trials[i]!.seconds),
    trials.map(({ id }) => id).join(", "),
  ]);
  const seeds = counted(study.seeds.length, "seed");
  const lines = [
    table([["configuration", "seeds", "a trial", "trials"], ...rows]),
    "",
    `${counted(configurations.length, "configuration")} × ${seeds} = ${counted(configurations.length * study.seeds.length, "trial")}`,
    ...(rungs
      ? [`halving: ${rungs.map(({ configurations: count, epochs }) => `${count} to epoch ${epochs}`).join(", ")}`]
      : []),
    ...notes,
    `about ${duration(estimate.seconds)} on this machine, one trial after another, and ${bytes(estimate.memory)} of memory (${counted(estimate.timed, "kind")} of trial timed, a few steps each)`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function terminalText(results: ReturnType<typeof studyResults>): string {
  const parts = taskTables(results).flatMap(({ rows, summary }) => [table(rows), summary]);
  return parts.length > 0 ? `${parts.join("\n\n")}\n` : "";
}

/** `beta1=0.5,0.85` */
function collect(text: string, before: [string, unknown[]][] = []): [string, unknown[]][] {
  const [, name, values] = /^([\w-]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || values === undefined) {
    throw new UserError(`--vary takes an option and its values, such as beta1=0.5,0.85; not "${text}"`);
  }
  const items = values.split(",").map((item) => item.trim());
  return [...before, [camelCase(name), items.filter((item) => item !== "").map((item): unknown => parse(item))]];
}

function numbers(text: string): number[] {
  return text.split(",").map((word) => {
    if (!/^\s*\d+\s*$/.test(word))
      throw new UserError(`"${word.trim()}" is no whole number; give numbers parted by commas`);
    return Number(word);
  });
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);
