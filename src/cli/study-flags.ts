import type { Command } from "commander";
import { UserError } from "../errors.ts";
import { numberOption } from "./schema-options.ts";

/** Flags of a command that runs a study. */
export interface StudyFlags {
  seeds?: number[] | undefined;
  metric?: string | undefined;
  holdOut?: number | undefined;
  generate?: number | undefined;
  output?: string | undefined;
  dryRun?: boolean | undefined;
  queue?: string | true | undefined;
  status?: boolean | undefined;
  markdown?: boolean | undefined;
  json?: boolean | undefined;
}

/** Names of the flags that help always shows. */
export const STUDY_FLAGS = [
  ...["seeds", "metric", "holdOut", "generate", "output"],
  ...["dryRun", "queue", "status", "markdown", "json"],
];

/** @param defaults in the help for flags that differ between commands */
export function addStudyFlags(command: Command, defaults: { output: string; holdOut: string }): void {
  command
    .option("--seeds <numbers>", "seeds of every setting, separated by commas (default: 42)", numbers)
    .option("--metric <name>", "metric to choose by (default: each task's first)")
    .addOption(
      numberOption(
        "--hold-out <share>",
        `share of the training examples to hold out for choosing (default: ${defaults.holdOut})`,
      ),
    )
    .addOption(numberOption("--generate <n>", "language models: also write and score answers to n examples"))
    .option("--output <dir>", `folder of the study, with a run folder per trial (default: ${defaults.output})`)
    .option("--dry-run", "list the trials and estimate their time and memory from a few timed steps")
    .option(
      "--queue [url]",
      "let aflora work train the trials, through this Valkey or Redis server (default: AFLORA_QUEUE)",
    )
    .option("--status", "with --queue: show the progress of the study, and start nothing")
    .option("--markdown", "print the table as Markdown")
    .option("--json", "print all numbers as JSON");
}

/** Splits text such as `rte, cola`. */
export const words = (text: string): string[] =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");

/** Parses text such as `1, 2, 3`. @throws UserError if an item is no integer */
export const numbers = (text: string): number[] =>
  words(text).map((word) => {
    if (!/^\d+$/.test(word)) throw new UserError(`"${word}" is not a whole number; give numbers separated by commas`);
    return Number(word);
  });
