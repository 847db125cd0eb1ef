#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import * as onnxRuntime from "onnxruntime-node";
import { UserError } from "../errors.ts";
import { chatCommand } from "./commands/chat.ts";
import { classifyCommand } from "./commands/classify.ts";
import { compareCommand } from "./commands/compare.ts";
import { demoCommand } from "./commands/demo.ts";
import { embedCommand } from "./commands/embed.ts";
import { estimateCommand } from "./commands/estimate.ts";
import { evaluateCommand } from "./commands/evaluate.ts";
import { exportCommand } from "./commands/export.ts";
import { infoCommand } from "./commands/info.ts";
import { labelCommand } from "./commands/label.ts";
import { mineCommand } from "./commands/mine.ts";
import { paramsCommand } from "./commands/params.ts";
import { predictCommand } from "./commands/predict.ts";
import { reportCommand } from "./commands/report.ts";
import { searchCommand } from "./commands/search.ts";
import { serveCommand } from "./commands/serve.ts";
import { studyCommand } from "./commands/study.ts";
import { suggestCommand } from "./commands/suggest.ts";
import { trainCommand } from "./commands/train.ts";
import { trialCommand } from "./commands/trial.ts";
import { tuneCommand } from "./commands/tune.ts";
import { webCommand } from "./commands/web.ts";
import { workCommand } from "./commands/work.ts";
import { addExamples, STARTED_AS } from "./help.ts";
import { packageVersion } from "./version.ts";

const USER_ERROR = 2;
const OUR_ERROR = 1;
/** Columns of help and messages: longer lines are hard to read. */
const MAX_WIDTH = 100;

const program = new Command(STARTED_AS)
  .description(
    "Fine-tune transformer models on your own machine, with adaptive freezing of low-rank adapters (AFLoRA).",
  )
  .version(packageVersion())
  .option("--verbose", "show stack traces of errors")
  .addCommand(demoCommand())
  .addCommand(trainCommand())
  .addCommand(evaluateCommand())
  .addCommand(predictCommand())
  .addCommand(classifyCommand())
  .addCommand(labelCommand())
  .addCommand(suggestCommand())
  .addCommand(chatCommand())
  .addCommand(serveCommand())
  .addCommand(webCommand())
  .addCommand(embedCommand())
  .addCommand(searchCommand())
  .addCommand(mineCommand())
  .addCommand(exportCommand())
  .addCommand(compareCommand())
  .addCommand(tuneCommand())
  .addCommand(studyCommand())
  .addCommand(workCommand())
  .addCommand(estimateCommand())
  .addCommand(trialCommand(), { hidden: true })
  .addCommand(paramsCommand())
  .addCommand(reportCommand())
  .addCommand(infoCommand());

addExamples(program, [
  "aflora demo",
  "aflora train --train tickets.csv --text message --label team --output runs/tickets",
]);

const helpWidth = Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH);
for (const command of [program, ...program.commands]) {
  command
    .exitOverride()
    .configureHelp({ ...command.configureHelp(), helpWidth })
    .configureOutput({ outputError: (message, write) => write(inOneLine(message)) });
}

// What fails is said once, by the error that it becomes.
onnxRuntime.env.logLevel = "fatal";

// A reader that has seen enough, such as head, is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

const [given, texts] = splitAtDashes(process.argv.slice(2));
const verbose = given.includes("--verbose");
try {
  const flags = given.filter((argument) => argument !== "--verbose").map(withDashes);
  await program.parseAsync([...flags, ...texts], { from: "user" });
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (!(error instanceof CommanderError)) explain(error);
}

/** Arguments up to `--`, and the rest, which is no flags. */
function splitAtDashes(all: readonly string[]): [flags: string[], rest: string[]] {
  const end = all.indexOf("--");
  return end < 0 ? [[...all], []] : [all.slice(0, end), all.slice(end)];
}

/** Flags may be written with underscores, as other training tools do. */
function withDashes(argument: string): string {
  return argument.startsWith("--") ? argument.replace(/^[^=]*/, (flag) => flag.replaceAll("_", "-")) : argument;
}

/** Commander puts its suggestion on a line of its own. */
function inOneLine(message: string): string {
  return message.replace(/\n\(Did you mean (.*)\?\)/, "; did you mean $1?");
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USER_ERROR;
  return error instanceof UserError ? USER_ERROR : OUR_ERROR;
}

function explain(error: unknown): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`error: ${message}\n`);
  if (verbose) process.stderr.write(`${stack}\n`);
  else if (!(error instanceof UserError)) process.stderr.write("this is a defect of aflora; --verbose shows where\n");
}
