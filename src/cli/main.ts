#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { UserError } from "../errors.ts";
import { demoCommand } from "./demo.ts";
import { evaluateCommand } from "./evaluate.ts";
import { infoCommand } from "./info.ts";
import { predictCommand } from "./predict.ts";
import { reportCommand } from "./report.ts";
import { trainCommand } from "./train.ts";
import { packageVersion } from "./version.ts";

const USER_ERROR = 2;
const OUR_ERROR = 1;

const program = new Command("aflora")
  .description(
    "Fine-tune transformer models on your own machine, with adaptive freezing of low-rank adapters (AFLoRA).",
  )
  .version(packageVersion())
  .option("--verbose", "show stack traces of errors")
  .addCommand(demoCommand())
  .addCommand(trainCommand())
  .addCommand(evaluateCommand())
  .addCommand(predictCommand())
  .addCommand(reportCommand())
  .addCommand(infoCommand());

for (const command of [program, ...program.commands]) {
  command.exitOverride().configureHelp({ sortSubcommands: false, helpWidth: 110 }).showSuggestionAfterError();
}

/** Flags may be written with underscores, as other training tools do. */
const withDashes = (argument: string): string =>
  argument.startsWith("--") ? argument.replace(/^[^=]*/, (flag) => flag.replaceAll("_", "-")) : argument;

const verbose = process.argv.includes("--verbose");
const given = process.argv.slice(2).filter((argument) => argument !== "--verbose");
try {
  await program.parseAsync(given.map(withDashes), { from: "user" });
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (!(error instanceof CommanderError)) explain(error);
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
